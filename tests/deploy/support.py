"""What the tests of deploy/ have in common: finding tools, validating against committed schemas, asking `bearerd check`."""

import copy
import functools
import json
import os
import pathlib
import platform
import re
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
SCHEMAS = pathlib.Path(__file__).resolve().parent / "schemas"
# DESIGN: timeouts.drain.
DRAIN_SECONDS = 25
USER = 65532
# ./ci builds both; another binary can be tested too.
BINARY = pathlib.Path(os.environ.get("DEPLOY_TEST_BINARY", ROOT / "target/debug/bearerd"))
STATIC = pathlib.Path(os.environ.get("DEPLOY_TEST_STATIC", ROOT / f"target/{platform.machine()}-unknown-linux-musl/debug/bearerd"))
# ./ci unpacks the real ones there.
HELM = ROOT / "target/deploy-tools/helm/helm"
KUBECTL = ROOT / "target/deploy-tools/kubectl/kubectl"


def output(*command, **options):
    """Standard output of a command that must succeed; what it complains about is in the error otherwise."""
    done = subprocess.run(command, **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options})
    if done.returncode != 0:
        raise AssertionError(f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def documents(text):
    import yaml

    return [document for document in yaml.safe_load_all(text) if document]


@functools.cache
def _kubernetes(version, kind):
    import fastjsonschema

    schema = json.loads((SCHEMAS / f"kubernetes-{version}.json").read_text())
    root = {"$ref": "#/definitions/" + schema["kinds"][kind], "definitions": schema["definitions"]}
    return fastjsonschema.compile(root)


def hold_against_kubernetes(document):
    """Raises with the place of the mistake. A kind that no schema is there for is a mistake too."""
    for version in ("1.29", "1.37"):
        _kubernetes(version, f"{document['apiVersion']}/{document['kind']}")(document)


@functools.cache
def _compose():
    import fastjsonschema

    schema = json.loads((SCHEMAS / "compose-spec.json").read_text())
    # The validator is one of draft 7. Of the later draft the schema uses but this: no other properties than those here and
    # in what `allOf` refers to.
    for definition in schema["$defs"].values():
        if "unevaluatedProperties" in definition:
            for part in definition.pop("allOf"):
                referred = copy.deepcopy(schema["$defs"][part["$ref"].rsplit("/", 1)[1]])
                definition["properties"] = {**referred["properties"], **definition["properties"]}
                definition.setdefault("patternProperties", {}).update(referred.get("patternProperties", {}))
            definition["additionalProperties"] = definition.pop("unevaluatedProperties")
    return fastjsonschema.compile({**schema, "$schema": "http://json-schema.org/draft-07/schema#"})


def hold_against_compose(document):
    _compose()(document)


def pod_specs(document):
    """Every pod that a manifest makes."""
    if document["kind"] == "Pod":
        return [document["spec"]]
    if document["kind"] in ("Deployment", "StatefulSet", "DaemonSet", "Job"):
        return [document["spec"]["template"]["spec"]]
    if document["kind"] == "CronJob":
        return [document["spec"]["jobTemplate"]["spec"]["template"]["spec"]]
    return []


def all_containers(pod):
    return pod.get("initContainers", []) + pod["containers"]


def hold_against_restricted(pod):
    """The profile "restricted" of the pod security standards, as far as it concerns pods that run on Linux."""
    spec = pod.get("securityContext", {})
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        assert not pod.get(key), key
    for volume in pod.get("volumes", []):
        assert set(volume) - {"name"} <= {"configMap", "csi", "downwardAPI", "emptyDir", "secret", "projected"}, volume
    for container in all_containers(pod):
        context, name = container.get("securityContext", {}), container["name"]
        assert context.get("runAsNonRoot", spec.get("runAsNonRoot")) is True, f"{name} may be root"
        assert context.get("runAsUser", 1) != 0, f"{name} is root"
        assert context.get("allowPrivilegeEscalation") is False, f"{name} may escalate"
        assert not context.get("privileged"), f"{name} is privileged"
        capabilities = context.get("capabilities", {})
        assert capabilities.get("drop") == ["ALL"] and set(capabilities.get("add", [])) <= {"NET_BIND_SERVICE"}, name
        profile = context.get("seccompProfile", spec.get("seccompProfile", {}))
        assert profile.get("type") in ("RuntimeDefault", "Localhost"), f"{name} has no seccomp profile"


def check(settings, environment=None):
    """`bearerd check` of a configuration, with a file where each secret of it is to lie. Raises with what bearerd says."""
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory)
        for place in ("/run/secrets", "/etc/bearerd", "/var/lib/bearerd"):
            settings = settings.replace(place, directory)
        found = re.findall(r'\{ *file *= *"([^"]+)"', settings) + re.findall(r'\{ *systemd *= *"([^"]+)"', settings)
        for secret in found:
            file = path / secret
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("only-for-this-check-and-nothing-else\n")
        (path / "bearerd.toml").write_text(settings)
        variables = {"PATH": os.environ["PATH"], "CREDENTIALS_DIRECTORY": directory, **(environment or {})}
        return output(BINARY, "check", "--config", path / "bearerd.toml", env=variables)


def variables(container):
    return {entry["name"]: entry["value"] for entry in container.get("env", []) if "value" in entry}


def configured(documents):
    """For each bearerd of the manifests its configuration, as text, and its environment."""
    maps = {document["metadata"]["name"]: document["data"] for document in documents if document["kind"] == "ConfigMap"}
    for document in documents:
        for pod in pod_specs(document):
            volumes = {volume["name"]: volume["configMap"]["name"] for volume in pod["volumes"] if "configMap" in volume}
            for container in all_containers(pod):
                for mount in container.get("volumeMounts", []):
                    if mount["name"] in volumes:
                        yield maps[volumes[mount["name"]]]["bearerd.toml"], variables(container)
