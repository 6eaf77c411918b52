"""Makes the committed schemas anew. Not run by ./ci: only when a kind or a version is to be added.

    python3 -m pip download --no-deps kubernetes-validate==1.37.0 check-jsonschema==0.39.0
    python3 tests/deploy/schemas/extract.py kubernetes_validate-*.whl check_jsonschema-*.whl

Of Kubernetes' definitions those of our kinds and all they refer to are kept, without descriptions and without what a
server fills in (managedFields, status). A key that the API does not know is an error ("strict").
"""

import json
import pathlib
import re
import sys
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
# The oldest with native sidecars switched on, and the newest there is.
VERSIONS = ("1.29", "1.37")
KINDS = {
    "v1/ConfigMap": "io.k8s.api.core.v1.ConfigMap",
    "v1/Namespace": "io.k8s.api.core.v1.Namespace",
    "v1/Pod": "io.k8s.api.core.v1.Pod",
    "v1/Secret": "io.k8s.api.core.v1.Secret",
    "v1/Service": "io.k8s.api.core.v1.Service",
    "v1/ServiceAccount": "io.k8s.api.core.v1.ServiceAccount",
    "apps/v1/Deployment": "io.k8s.api.apps.v1.Deployment",
    "batch/v1/CronJob": "io.k8s.api.batch.v1.CronJob",
    "batch/v1/Job": "io.k8s.api.batch.v1.Job",
    "networking.k8s.io/v1/NetworkPolicy": "io.k8s.api.networking.v1.NetworkPolicy",
    "policy/v1/PodDisruptionBudget": "io.k8s.api.policy.v1.PodDisruptionBudget",
}
REFERENCE = re.compile(r'"#/definitions/([^"]+)"')


def lean(schema, inside_properties=False):
    """Without descriptions, extensions and what servers fill in; references as one file has them."""
    if isinstance(schema, list):
        return [lean(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {}
    for key, value in schema.items():
        if inside_properties:
            # Conditions have a status that is a word; that of an object is a type of its own.
            if key != "managedFields" and not (key == "status" and "$ref" in value):
                kept[key] = lean(value)
        elif key == "$ref":
            kept[key] = "#/definitions/" + value.rsplit("/", 1)[1]
        elif key != "description" and key != "$schema" and not key.startswith("x-"):
            kept[key] = lean(value, inside_properties=key == "properties")
    return kept


def kubernetes(wheel, version):
    name = f"kubernetes_validate/kubernetes-json-schema/v{version}.0-local-strict/_definitions.json"
    everything = json.loads(zipfile.ZipFile(wheel).read(name))["$defs"]
    kept, wanted = {}, list(KINDS.values())
    while wanted:
        name = wanted.pop()
        if name not in kept:
            kept[name] = lean(everything[name])
            wanted += REFERENCE.findall(json.dumps(kept[name]))
    return {"kinds": KINDS, "definitions": dict(sorted(kept.items()))}


def main(wheels):
    (validate,) = [wheel for wheel in wheels if "kubernetes_validate" in wheel]
    (check,) = [wheel for wheel in wheels if "check_jsonschema" in wheel]
    for version in VERSIONS:
        text = json.dumps(kubernetes(validate, version), separators=(",", ":"), sort_keys=True)
        (HERE / f"kubernetes-{version}.json").write_text(text + "\n")
    vendored = zipfile.ZipFile(check).read("check_jsonschema/builtin_schemas/vendor/compose-spec.json")
    (HERE / "compose-spec.json").write_bytes(vendored)


if __name__ == "__main__":
    main(sys.argv[1:])
