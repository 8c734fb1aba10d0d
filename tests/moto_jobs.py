"""The life cycle of training jobs, which moto lacks: states over time, logs, a model in S3.

Every request first brings all jobs up to the current time, so that moto itself returns the right
state. Log events are in moto's CloudWatch Logs, models in moto's S3.
"""

import io
import re
import tarfile
import threading
import time
from datetime import UTC, datetime, timedelta

from moto.backends import get_backend

GROUP = "/aws/sagemaker/TrainingJobs"

MESSAGES = {
    "Starting": "Preparing the instances for training",
    "Downloading": "Downloading the training image",
    "Training": "Training image download completed. Training in progress.",
    "Interrupted": "Spot interruption, waiting for capacity",
    "Uploading": "Uploading generated training model",
    "Stopping": "Stopping the training job",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "Stopped": "Training job stopped",
}

# The default life cycle of a job. A test may replace any key for jobs with a prefix.
SCRIPT = {
    # Secondary status and its seconds.
    "phases": [["Starting", 0.1], ["Downloading", 0.1], ["Training", 0.5], ["Uploading", 0.1]],
    "outcome": "Completed",
    "reason": None,
    # {"at": seconds since the creation, "host": "algo-1", "run": 0, "text": "..."}; `run` 1 is a
    # second stream of the host, as after a spot interruption.
    "lines": [
        {"at": 0.3, "text": "train:loss=0.5000; progress:epoch=1;"},
        {"at": 0.5, "text": "validation:accuracy=0.9000;"},
    ],
    # Delay of events in CloudWatch, in seconds.
    "lag": 0.0,
    "stop_seconds": 0.2,
    # Content of model.tar.gz.
    "files": {"model.json": "{}"},
}


class Jobs:
    """All jobs, by account, region and name."""

    def __init__(self):
        self.lock = threading.RLock()
        self.scripts = []
        self.jobs = {}

    def script(self, settings):
        """Sets the life cycle of jobs with this prefix. The last matching one is used."""
        with self.lock:
            self.scripts.insert(0, settings)

    def script_for(self, name):
        for settings in self.scripts:
            if name.startswith(settings.get("prefix", "")):
                return SCRIPT | settings
        return SCRIPT

    def create(self, key, request):
        """Adds a job that moto has created, and keeps the fields that moto drops."""
        with self.lock:
            name = request["TrainingJobName"]
            self.jobs[(*key, name)] = Life(key, request, self.script_for(name))

    def get(self, key, name):
        return self.jobs.get((*key, name))

    def advance(self):
        with self.lock:
            for life in self.jobs.values():
                life.advance(time.time())

    def list(self, key, request):
        """Returns ListTrainingJobs' answer: moto filters after it pages, and does not sort."""
        with self.lock:
            jobs = [life.job() for (*owner, _), life in self.jobs.items() if tuple(owner) == key]
        wanted = [
            job
            for job in jobs
            if request.get("NameContains", "") in job.training_job_name
            and request.get("StatusEquals", job.training_job_status) == job.training_job_status
        ]
        by = {"Name": "training_job_name", "Status": "training_job_status"}.get(
            request.get("SortBy"), "creation_time"
        )
        wanted.sort(
            key=lambda job: getattr(job, by), reverse=request.get("SortOrder") == "Descending"
        )
        start = int(request.get("NextToken", 0))
        end = start + request.get("MaxResults", 10)
        answer = {"TrainingJobSummaries": [summary(job) for job in wanted[start:end]]}
        if end < len(wanted):
            answer["NextToken"] = str(end)
        return answer


def summary(job):
    entry = {
        "TrainingJobName": job.training_job_name,
        "TrainingJobArn": job.arn,
        "CreationTime": job.creation_time.replace(tzinfo=UTC).timestamp(),
        "LastModifiedTime": job.last_modified_time.replace(tzinfo=UTC).timestamp(),
        "TrainingJobStatus": job.training_job_status,
        "SecondaryStatus": job.secondary_status,
    }
    if job.training_end_time:
        entry["TrainingEndTime"] = job.training_end_time.replace(tzinfo=UTC).timestamp()
    return entry


class Life:
    """One job."""

    def __init__(self, key, request, script):
        self.key = key
        self.name = request["TrainingJobName"]
        self.request = request
        self.script = script
        self.born = time.time()
        self.stopped = None
        self.lines = sorted(self.planned_lines(), key=lambda line: line["at"])
        self.shown = []
        self.ended = False
        job = self.job()
        job.environment = request.get("Environment")
        job.algorithm_specification["MetricDefinitions"] = request["AlgorithmSpecification"].get(
            "MetricDefinitions"
        )
        job.final_metric_data_list = None
        self.model = job.model_artifacts
        self.advance(self.born)

    def job(self):
        account, region = self.key
        return get_backend("sagemaker")[account][region].training_jobs[self.name]

    def planned_lines(self):
        count = self.request["ResourceConfig"].get("InstanceCount", 1)
        for line in self.script["lines"]:
            hosts = (
                [line["host"]]
                if "host" in line
                else [f"algo-{number + 1}" for number in range(count)]
            )
            for host in hosts:
                yield line | {"host": host}

    def stop(self):
        if self.stopped is None and not self.ended:
            self.stopped = time.time()

    def timeline(self):
        """Returns [(secondary status, start, end)]; the end of the last one is None."""
        at, entries = self.born, []
        for name, seconds in self.script["phases"]:
            if self.stopped is not None and at + seconds > self.stopped:
                break
            entries.append((name, at, at + seconds))
            at += seconds
        else:
            return [*entries, (self.script["outcome"], at, None)]
        entries.append((name, at, self.stopped))
        end = self.stopped + self.script["stop_seconds"]
        return [*entries, ("Stopping", self.stopped, end), ("Stopped", end, None)]

    def advance(self, now):
        if self.ended:
            self.show_lines(now)
            return
        past = [entry for entry in self.timeline() if entry[1] <= now]
        status, since, _ = past[-1]
        job = self.job()
        job.secondary_status = status
        job.training_job_status = (
            status if status in ("Completed", "Failed", "Stopped", "Stopping") else "InProgress"
        )
        job.last_modified_time = moment(since)
        job.secondary_status_transitions = [transition(*entry, entry is past[-1]) for entry in past]
        starts = [start for name, start, _ in past if name == "Downloading"]
        job.training_start_time = moment(starts[0]) if starts else None
        job.training_end_time = None
        job.model_artifacts = None
        self.show_lines(now)
        if job.training_job_status in ("Completed", "Failed", "Stopped"):
            self.end(job, since, starts)

    def end(self, job, since, starts):
        self.ended = True
        job.training_end_time = moment(since)
        seconds = max(1, round(since - starts[0])) if starts else 0
        job.training_time_in_seconds = seconds
        saved = 0.7 if self.request.get("EnableManagedSpotTraining") else 0.0
        job.billable_time_in_seconds = max(1, round(seconds * (1 - saved))) if starts else 0
        if job.training_job_status == "Failed":
            job.failure_reason = self.script["reason"] or "AlgorithmError: exit code: 1"
        self.lines = [line for line in self.lines if self.born + line["at"] <= since]
        job.final_metric_data_list = list(self.metrics().values()) or None
        if starts:
            # A stopped or failed job uploads what it has saved.
            job.model_artifacts = self.model
            self.put_model()

    def show_lines(self, now):
        """Writes the due events to moto's CloudWatch Logs."""
        limit = self.stopped if self.stopped is not None else float("inf")
        account, region = self.key
        logs = get_backend("logs")[account][region]
        while self.lines and self.born + self.lines[0]["at"] + self.script["lag"] <= now:
            line = self.lines.pop(0)
            at = self.born + line["at"]
            if at > limit:
                continue
            self.shown.append(line)
            stream = f"{self.name}/{line['host']}-{int(self.born * 1000) + line.get('run', 0)}"
            logs.ensure_log_group(GROUP)
            logs.ensure_log_stream(GROUP, stream)
            logs.put_log_events(
                GROUP, stream, [{"timestamp": int(at * 1000), "message": line["text"]}]
            )

    def metrics(self):
        """Finds metrics as SageMaker does: the definitions' regular expressions on every line."""
        found = {}
        for definition in self.request["AlgorithmSpecification"].get("MetricDefinitions", []):
            for line in self.shown + self.lines:
                if match := re.search(definition["Regex"], line["text"]):
                    found[definition["Name"]] = {
                        "MetricName": definition["Name"],
                        "Value": float(match[1]),
                        "Timestamp": moment(self.born + line["at"]),
                    }
        return found

    def put_model(self):
        url = self.model["S3ModelArtifacts"]
        bucket, _, key = url.removeprefix("s3://").partition("/")
        s3 = get_backend("s3")[self.key[0]]["aws"]
        if bucket in s3.buckets:
            s3.put_object(bucket, key, archive(self.script["files"]))


def transition(status, start, end, last):
    entry = {
        "Status": status,
        "StartTime": moment(start),
        "StatusMessage": MESSAGES.get(status, status),
    }
    if not last:
        entry["EndTime"] = moment(end)
    elif end is None:
        entry["EndTime"] = moment(start)
    return entry


def moment(seconds):
    """Returns the time as moto stores it: UTC without a time zone."""
    return datetime(1970, 1, 1) + timedelta(seconds=seconds)


def archive(files):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text.encode())
            tar.addfile(entry, io.BytesIO(text.encode()))
    return packed.getvalue()
