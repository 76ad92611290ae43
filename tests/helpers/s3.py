"""An S3-compatible server, for tests: moto's, on loopback, which refuses whoever does not sign with its keys."""

import os
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager

from helpers.store import free_port

POLICY = '{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}'
FREE = 5  # requests that are answered to anybody: those of `served`


class Bucket:
    """uri: of the bucket. url: of the server. key, secret: of its only user."""

    def __init__(self, url, key, secret):
        self.uri, self.url, self.key, self.secret = "s3://frost", url, key, secret

    @property
    def environment(self):
        """As it is in the shell of who may read and write."""
        return {"AWS_ACCESS_KEY_ID": self.key, "AWS_SECRET_ACCESS_KEY": self.secret, "AWS_DEFAULT_REGION": "us-east-1"}

    def contents(self):
        """Each object's name and bytes."""
        client = _client("s3", self.url, self.key, self.secret)
        pages = client.get_paginator("list_objects_v2").paginate(Bucket="frost")
        names = [one["Key"] for page in pages for one in page.get("Contents", [])]
        return {name: client.get_object(Bucket="frost", Key=name)["Body"].read() for name in names}


def _client(what, url, key="anybody", secret="anybody"):
    import boto3

    return boto3.client(
        what, endpoint_url=url, region_name="us-east-1", aws_access_key_id=key, aws_secret_access_key=secret
    )


@contextmanager
def served():
    """A running one with an empty bucket."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {**os.environ, "INITIAL_NO_AUTH_ACTION_COUNT": str(FREE)}
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(url, process)
        _client("s3", url).create_bucket(Bucket="frost")
        iam = _client("iam", url)
        iam.create_user(UserName="frost")
        iam.put_user_policy(UserName="frost", PolicyName="all", PolicyDocument=POLICY)
        made = iam.create_access_key(UserName="frost")["AccessKey"]
        _client("s3", url).list_buckets()  # the last that anybody may
        yield Bucket(url, made["AccessKeyId"], made["SecretAccessKey"])
    finally:
        process.kill()
        process.wait()


def _wait(url, process, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(f"{url}/moto-api/data.json", timeout=5).read()
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"no answer from {url}")
