"""Real Prometheus servers that scrape the server under test, and the files in configs/prometheus and configs/grafana held to them."""

import json
import math
import pathlib
import re
import socket
import subprocess
import time
import urllib.parse

from e2e_common import equal, expect, get_json

CONFIGS = pathlib.Path("configs/prometheus")
DASHBOARDS = pathlib.Path("configs/grafana/dashboards")
# What Grafana would put in: "All" for the variables of the dashboards, and ranges.
VARIABLES = {"__rate_interval": "2m", "__interval": "2m", "__range": "5m"}


class Prometheus:
    """Scrapes every second, by the configuration that users get but for the target."""

    def __init__(self, binaries, scratch, target, *flags):
        self.promtool = binaries / "promtool"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{probe.getsockname()[1]}"
        self.url = f"http://{address}"
        scratch.mkdir()
        config = (CONFIGS / "prometheus.yml").read_text()
        expect("localhost:8000" in config and config.count("15s") == 2, "prometheus.yml is not as expected")
        (scratch / "prometheus.yml").write_text(config.replace("localhost:8000", target).replace("15s", "1s"))
        (scratch / "alerts.yml").write_text((CONFIGS / "alerts.yml").read_text())
        self.log = scratch / "log"
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen(
                [binaries / "prometheus", f"--config.file={scratch}/prometheus.yml", f"--storage.tsdb.path={scratch}/data",
                 f"--web.listen-address={address}", *flags], stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def query(self, expression):
        answer = get_json(f"{self.url}/api/v1/query?" + urllib.parse.urlencode({"query": expression}))
        equal(answer["status"], "success", f"status of {expression}")
        return answer["data"]["result"]

    def await_value(self, expression, seconds=20):
        """The result, once there is one."""
        end = time.monotonic() + seconds
        while not (result := self.query(expression)):
            expect(time.monotonic() < end, f"no result of {expression} after {seconds} s")
            time.sleep(0.5)
        return result

    def close(self):
        self.process.kill()
        self.process.wait()


def files_pass_promtool(promtool, metrics):
    for arguments in (["check", "config", "prometheus.yml"], ["check", "rules", "alerts.yml"], ["test", "rules", "alerts.test.yml"]):
        done = subprocess.run([promtool, *arguments], cwd=CONFIGS, capture_output=True, text=True)
        equal(done.returncode, 0, f"status of promtool {' '.join(arguments)}: {done.stdout}{done.stderr}")
    # Names of others' conventions break Prometheus' own, so they are left out.
    own = "".join(block for block in re.split(r"(?m)^(?=# HELP)", metrics) if block.startswith("# HELP polyphon_"))
    expect(own.count("# HELP") > 30, "there are too few metrics to check")
    done = subprocess.run([promtool, "check", "metrics"], input=own, capture_output=True, text=True)
    equal(done.returncode, 0, f"status of promtool check metrics: {done.stdout}{done.stderr}")


def dashboards():
    return {path.name: json.loads(path.read_text()) for path in sorted(DASHBOARDS.glob("*.json"))}


def dashboards_are_whole():
    boards = dashboards()
    equal(len(boards), 4, "number of dashboards")
    for name, board in boards.items():
        equal(name, board["uid"] + ".json", "name of a dashboard's file")
        panels = board["panels"]
        equal(len({panel["id"] for panel in panels}), len(panels), f"panels with an id of their own in {name}")
        taken = {}
        for panel in panels:
            at = panel["gridPos"]
            expect(at["x"] + at["w"] <= 24, f"{panel['title']} in {name} is wider than the page")
            for cell in ((x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])):
                expect(cell not in taken, f"{panel['title']} lies over {taken.get(cell)} in {name}")
                taken[cell] = panel["title"]


def dashboards_show_something(prometheus):
    """Every query of every panel and variable gives a number for a server that has had work of all kinds."""
    count = 0
    for name, board in dashboards().items():
        variables = {variable["name"]: ".*" for variable in board["templating"]["list"]} | VARIABLES
        for variable in board["templating"]["list"]:
            match = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable.get("definition", ""))
            if variable["type"] == "query":
                expect(match, f"variable {variable['name']} of {name} asks something else than label_values")
                values = get_json(f"{prometheus.url}/api/v1/label/{match[2]}/values?" + urllib.parse.urlencode({"match[]": match[1]}))["data"]
                expect(values, f"variable {variable['name']} of {name} has no values")
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                expression = re.sub(r"\$(\w+)", lambda found: variables[found[1]], target["expr"])
                result = prometheus.query(expression)
                expect(result, f"{panel['title']} in {name} shows nothing: {expression}")
                expect(any(math.isfinite(float(series["value"][1])) for series in result), f"{panel['title']} in {name} shows no number: {result[:2]}")
                count += 1
    print(f"    {count} queries")


def alerts_are_evaluated(prometheus):
    groups = get_json(f"{prometheus.url}/api/v1/rules")["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    expect(len(rules) >= 8, f"only {len(rules)} rules")
    for rule in rules:
        equal(rule["health"], "ok", f"health of {rule['name']}: {rule.get('lastError')}")
    down = next(rule for rule in rules if rule["name"] == "PolyphonDown")
    equal(down["state"], "inactive", "state of PolyphonDown")


def native_histograms_arrive(prometheus):
    count = prometheus.await_value("sum(histogram_count(polyphon_time_to_first_token_seconds))")
    expect(float(count[0]["value"][1]) > 0, f"no observations: {count}")
    median = prometheus.await_value("histogram_quantile(0.5, sum(polyphon_time_to_first_token_seconds))")
    expect(0 < float(median[0]["value"][1]) < 60, f"the median is {median}")
