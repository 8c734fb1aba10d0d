"""ECR with a real registry, because moto's ECR does not have the images pushed to a registry.

`POST /_test/registry {"url": "http://127.0.0.1:5000"}` sets its address. The user is that of moto's
tokens.
"""

import base64
import json
import urllib.error
import urllib.request

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


def with_endpoint(body, registry):
    """GetAuthorizationToken's answer, with the registry for AWS's own."""
    answer = json.loads(body)
    for data in answer["authorizationData"]:
        data["proxyEndpoint"] = registry
    return answer


def images(wanted, account, registry):
    """DescribeImages by tag: (status, answer)."""
    details = []
    for image in wanted["imageIds"]:
        url = f"{registry}/v2/{wanted['repositoryName']}/manifests/{image['imageTag']}"
        request = urllib.request.Request(
            url, headers={"Accept": MANIFEST, "Authorization": authorization(account)}
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                manifest, digest = json.load(answer), answer.headers["Docker-Content-Digest"]
        except urllib.error.HTTPError:
            return 400, {"__type": "ImageNotFoundException", "message": f"no image {image}"}
        details.append(
            {
                "registryId": account,
                "repositoryName": wanted["repositoryName"],
                "imageDigest": digest,
                "imageTags": [image["imageTag"]],
                "imageSizeInBytes": sum(layer["size"] for layer in manifest["layers"]),
            }
        )
    return 200, {"imageDetails": details}


def authorization(account):
    return "Basic " + base64.b64encode(f"AWS:{account}-auth-token".encode()).decode()
