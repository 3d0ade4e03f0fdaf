from __future__ import annotations

import pytest

from console.flink_run import refusal

ENDED = """\
org.apache.flink.client.program.ProgramAbortException: java.lang.RuntimeException: Python process exits with code: 1
\tat org.apache.flink.client.python.PythonDriver.main(PythonDriver.java:140)
Caused by: java.lang.RuntimeException: Python process exits with code: 1
\t... 14 more
"""

PYTHON_ERROR = f"""\
Traceback (most recent call last):
  File "jobs/main.py", line 15, in <module>
    raise ValueError("boom")
ValueError: boom
{ENDED}"""

JAVA_ERROR = f"""\
Traceback (most recent call last):
  File "jobs/main.py", line 15, in <module>
    env.execute()
py4j.protocol.Py4JJavaError: An error occurred while calling o1.execute.
: org.apache.flink.util.FlinkException: Failed to execute job 'tickcast'.
\tat org.apache.flink.Environment.executeAsync(Environment.java:1)
Caused by: org.apache.flink.runtime.client.JobInitializationException: Could not start the JobMaster.
\t... 4 more
Caused by: java.io.FileNotFoundException: Cannot find checkpoint or savepoint file/directory '/nope'.
\t... 5 more

{ENDED}"""


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (PYTHON_ERROR, "ValueError: boom"),
        (JAVA_ERROR, "java.io.FileNotFoundException: Cannot find checkpoint or savepoint file/directory '/nope'."),
        (f"the model does not fit: train another\n{ENDED}", "the model does not fit: train another"),
        ("Error: Could not find or load main class\n", "Error: Could not find or load main class"),
        ("", "it said nothing"),
    ],
    ids=["python", "java", "sentence of the job", "no program", "nothing"],
)
def test_the_reason_of_a_refused_job_is_the_line_that_tells(said: str, reason: str) -> None:
    assert refusal(said) == reason
