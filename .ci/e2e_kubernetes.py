"""configs/kubernetes: held to Kubernetes' own schemas and the Prometheus operator's, to itself, and to a real server that is started, probed and ended as a kubelet would."""

import contextlib
import pathlib
import re
import signal
import sys
import tempfile
import threading
import time

import kubernetes_validate
import yaml
from cloudcoil.models.prometheus_operator.v1 import ServiceMonitor

from e2e_common import equal, expect
from e2e_faults import Server

FOLDER = pathlib.Path("configs/kubernetes")
METRICS = pathlib.Path("docs/metrics.md")
VERSIONS = ("1.32", "1.37")
UNITS = {"ms": 0.001, "s": 1, "m": 60}


def works(scratch):
    for name in ("replicas", "single"):
        documents = [document for file in sorted((FOLDER / name).glob("*.yaml")) for document in yaml.safe_load_all(file.read_text())]
        for document in documents:
            schema_holds(document)
        fits_together(documents)
        runs_as_configured(pathlib.Path(scratch) / name, documents)
    for file in FOLDER.glob("*/*/*.yaml"):
        for document in yaml.safe_load_all(file.read_text()):
            schema_holds(document)


def schema_holds(document):
    if document["kind"] == "ServiceMonitor":
        read = ServiceMonitor.model_validate(document).model_dump(mode="json", by_alias=True, exclude_unset=True)
        equal(read, document, "a ServiceMonitor without the fields that there are not")
        return
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            raise AssertionError(f"{document['kind']} {document['metadata']['name']} in {version}: {error}") from None


def one(documents, kind):
    found = [document for document in documents if document["kind"] == kind]
    equal(len(found), 1, f"number of objects of kind {kind}")
    return found[0]


def configuration(documents):
    return yaml.safe_load(one(documents, "ConfigMap")["data"]["polyphon.yaml"])


def seconds(text):
    match = re.fullmatch(r"(\d+)(ms|s|m)", text)
    return int(match[1]) * UNITS[match[2]]


def fits_together(documents):
    deployment = one(documents, "Deployment")
    template = deployment["spec"]["template"]
    pod, labels = template["spec"], template["metadata"]["labels"]
    container = pod["containers"][0]
    settings = configuration(documents)
    equal(deployment["spec"]["selector"]["matchLabels"], labels, "the Deployment's selector")
    service, monitor = one(documents, "Service"), one(documents, "ServiceMonitor")
    equal(service["spec"]["selector"], labels, "the Service's selector")
    expect(service["spec"]["ports"][0]["targetPort"] in {port["name"] for port in container["ports"]}, "the Service sends to a port that there is not")
    equal(monitor["spec"]["selector"]["matchLabels"], service["metadata"]["labels"], "the ServiceMonitor's selector")
    equal(monitor["spec"]["endpoints"][0]["port"], service["spec"]["ports"][0]["name"], "the ServiceMonitor's port")

    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    equal({mount["name"] for mount in container["volumeMounts"]}, set(volumes), "volumes that are mounted")
    claims = {claim["metadata"]["name"] for claim in documents if claim["kind"] == "PersistentVolumeClaim"}
    equal({volume["persistentVolumeClaim"]["claimName"] for volume in volumes.values() if "persistentVolumeClaim" in volume}, claims, "claims")
    equal(volumes["configuration"]["configMap"]["name"], one(documents, "ConfigMap")["metadata"]["name"], "the ConfigMap's name")
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    for section, key in (("adapters", "store"), ("tenants", "store"), ("adapters", "folder")):
        path = settings.get(section, {}).get(key)
        if path is not None:
            under = [mount for place, mount in mounts.items() if (path + "/").startswith(place + "/")]
            expect(under, f"{section}.{key} is {path}, which is in no volume")
            expect(key == "folder" or not under[0].get("readOnly"), f"{section}.{key} is {path}, which cannot be written to")
    equal(str(pathlib.Path(container["args"][container["args"].index("--config") + 1]).parent), "/etc/polyphon", "where the configuration is")

    drain = seconds(settings["server"]["drainDelay"]) + seconds(settings["server"]["drainLimit"])
    expect(pod["terminationGracePeriodSeconds"] >= drain + 10, f"a pod is killed after {pod['terminationGracePeriodSeconds']} s, and may drain for {drain:.0f}")
    readiness = container["readinessProbe"]
    expect(readiness["periodSeconds"] * readiness["failureThreshold"] <= seconds(settings["server"]["drainDelay"]), "no probe fails before the server takes no more requests")
    expect(pod["enableServiceLinks"] is False, "Kubernetes may set variables that are settings")

    if settings.get("tenants", {}).get("store") or "loading" not in settings["adapters"]:
        equal((deployment["spec"]["replicas"], deployment["spec"]["strategy"]["type"]), (1, "Recreate"), "replicas of a server that has its stores to itself")
    else:
        scaler, budget = one(documents, "HorizontalPodAutoscaler"), one(documents, "PodDisruptionBudget")
        equal(scaler["spec"]["scaleTargetRef"], {"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment["metadata"]["name"]}, "what is scaled")
        expect("replicas" not in deployment["spec"], "the Deployment and the autoscaler both say how many replicas there are")
        equal(budget["spec"]["selector"]["matchLabels"], labels, "the PodDisruptionBudget's selector")
        for metric in scaler["spec"]["metrics"]:
            if metric["type"] == "Pods":
                expect(f"| `{metric['pods']['metric']['name']}` |" in METRICS.read_text(), f"there is no metric {metric['pods']['metric']['name']}")


def runs_as_configured(scratch, documents):
    """The server takes this configuration, and comes and goes as the probes and the grace period expect."""
    scratch.mkdir(parents=True)
    container = one(documents, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    settings = configuration(documents)
    for mount in container["volumeMounts"]:
        (scratch / mount["mountPath"].lstrip("/")).mkdir(parents=True, exist_ok=True)
    text = re.sub(r"(?m)(: )(/\S+)$", rf"\1{scratch}\2", one(documents, "ConfigMap")["data"]["polyphon.yaml"])
    file = scratch / "polyphon.yaml"
    file.write_text(text.replace("host: 0.0.0.0", "host: 127.0.0.1"))
    probes = {name: container[name + "Probe"]["httpGet"]["path"] for name in ("startup", "readiness", "liveness")}
    server = Server(scratch, options=["--config", str(file)])
    try:
        server.await_ready()
        for name, path in probes.items():
            equal(server.get(path)[0], 200, f"status of the {name} probe")
        equal(server.get(one(documents, "ServiceMonitor")["spec"]["endpoints"][0]["path"])[0], 200, "status of what Prometheus scrapes")
        delay = seconds(settings["server"]["drainDelay"])
        ended = []
        began = time.monotonic()
        thread = threading.Thread(target=lambda: ended.append(server.end(signal.SIGTERM)))
        thread.start()
        # Kubernetes goes on sending for a while: the pod says that it is not ready, and answers all the same.
        time.sleep(delay / 2)
        equal(server.get(probes["readiness"])[0], 503, "readiness while the server ends")
        equal(server.get(probes["liveness"])[0], 200, "liveness while the server ends")
        equal(server.get("/v1/models")[0], 401 if "tenants" in settings else 200, "status of a request while the server ends")
        thread.join(60)
        equal(ended, [0], "exit status")
        expect(delay <= time.monotonic() - began < delay + 30, f"it ended after {time.monotonic() - began:.1f} s")
    finally:
        with contextlib.suppress(Exception):
            server.end(signal.SIGKILL)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="polyphon-kubernetes-") as folder:
        works(folder)
    print("configs/kubernetes: ok", file=sys.stderr)
