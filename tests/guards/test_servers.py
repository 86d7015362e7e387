"""Each real server starts, does what it is there for, and is gone afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

import real_servers

pytestmark = pytest.mark.server


def get_json(url: str):
    with urllib.request.urlopen(url, timeout=10) as response:
        return json.load(response)


def post_json(url: str, body) -> int:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as response:
        return response.status


def wait_until(condition, limit_s: float = 30):
    """Poll a real server, which offers nothing to wait on; the limit only bounds a failure."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if result := condition():
            return result
        time.sleep(0.05)
    pytest.fail(f"not so within {limit_s} s")


class TestPostgres:
    def test_a_database_takes_a_table_and_gives_it_back(self, postgres_url):
        sqlalchemy = pytest.importorskip("sqlalchemy")
        engine = sqlalchemy.create_engine(postgres_url)
        with engine.begin() as connection:
            connection.execute(sqlalchemy.text("create table t (a bigint primary key)"))
            connection.execute(sqlalchemy.text("insert into t values (7)"))
            assert connection.execute(sqlalchemy.text("select a from t")).scalar() == 7
        engine.dispose()

    @pytest.mark.parametrize("turn", ["first", "second"])
    def test_each_test_has_an_empty_database(self, postgres_url, turn):
        sqlalchemy = pytest.importorskip("sqlalchemy")
        engine = sqlalchemy.create_engine(postgres_url)
        assert sqlalchemy.inspect(engine).get_table_names() == []
        with engine.begin() as connection:
            connection.execute(sqlalchemy.text("create table leftover (a int)"))
        engine.dispose()


class TestAlertmanagerAndPrometheus:
    def test_an_alert_reaches_the_webhook_of_the_route(self, alertmanager):
        received = []

        class Webhook(BaseHTTPRequestHandler):
            def do_POST(self):
                received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        sink = HTTPServer(("127.0.0.1", 0), Webhook)
        Thread(target=sink.serve_forever, daemon=True).start()
        try:
            server = alertmanager(f"""
                route: {{receiver: hook, group_wait: 0s}}
                receivers:
                  - name: hook
                    webhook_configs: [{{url: "http://127.0.0.1:{sink.server_port}/"}}]
            """)
            assert post_json(server.url + "/api/v2/alerts", [{"labels": {"alertname": "Drift"}}]) == 200
            notification = wait_until(lambda: received and received[0])
        finally:
            sink.shutdown()
            sink.server_close()
        assert notification["commonLabels"] == {"alertname": "Drift"}

    def test_prometheus_scrapes_itself_and_evaluates_a_rule(self, prometheus):
        rules = {"rules.yml": "groups: [{name: g, rules: [{record: answer, expr: 'vector(42)'}]}]"}
        config = "global: {evaluation_interval: 1s}\nrule_files: [rules.yml]\n"
        server = prometheus(config, rules=rules)
        found = wait_until(lambda: get_json(server.url + "/api/v1/query?query=answer")["data"]["result"])
        assert found[0]["value"][1] == "42"


class TestS3:
    def test_an_object_is_read_back(self, s3_server):
        client, bucket = s3_server.client(), s3_server.new_bucket()
        client.put_object(Bucket=bucket, Key="a/b", Body=b"content")
        assert client.get_object(Bucket=bucket, Key="a/b")["Body"].read() == b"content"


@pytest.mark.browser
class TestChromium:
    def test_a_page_runs_its_script(self, chromium):
        page = chromium.new_page()
        page.set_content("<p id=p></p><script>p.textContent = 6 * 7</script>")
        assert page.inner_text("#p") == "42"
        page.close()

    def test_the_outside_world_has_no_address(self, chromium):
        page = chromium.new_page()
        failed = []
        page.on("requestfailed", lambda request: failed.append(request.failure))
        page.set_content("<img src='http://example.com/x.png'>", wait_until="load")
        assert failed == ["net::ERR_NAME_NOT_RESOLVED"]
        page.close()


class TestStopping:
    def test_a_server_that_cannot_start_says_why(self, alertmanager):
        with pytest.raises(real_servers.DidNotStart, match="no routes provided"):
            alertmanager("receivers: []")

    def test_nothing_is_left_after_the_block(self, tmp_path):
        command = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "0"]
        with real_servers.running(command, log=tmp_path / "log", is_ready=lambda: True) as process:
            assert process.poll() is None
        assert process.returncode is not None

    @pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's")
    def test_a_killed_test_run_takes_its_servers_along(self, tmp_path):
        program = f"""
import sys
from pathlib import Path
import real_servers
with real_servers.running([sys.executable, "-c", "import time; time.sleep(600)"],
                          log=Path({str(tmp_path)!r}) / "log", is_ready=lambda: True) as process:
    print(process.pid, flush=True)
    process.wait()
"""
        plugins = Path(real_servers.__file__).parent
        test_run = subprocess.Popen(
            [sys.executable, "-c", program],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(plugins)},
        )
        server_pid = int(test_run.stdout.readline())
        test_run.send_signal(signal.SIGKILL)
        test_run.wait()
        test_run.stdout.close()

        def has_ended():
            try:
                state = Path(f"/proc/{server_pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
            except FileNotFoundError:
                return True
            return state == "Z"

        assert wait_until(has_ended)


class TestAMissingServer:
    def test_is_a_skip_on_a_developers_machine(self, monkeypatch, require_server):
        monkeypatch.delenv("CI", raising=False)
        with pytest.raises(pytest.skip.Exception, match="Nosuch is not installed"):
            require_server("Nosuch", "no-such-binary")

    def test_is_a_failure_in_ci(self, monkeypatch, require_server):
        monkeypatch.setenv("CI", "true")
        with pytest.raises(pytest.fail.Exception, match="Nosuch is not installed"):
            require_server("Nosuch", "no-such-binary")
