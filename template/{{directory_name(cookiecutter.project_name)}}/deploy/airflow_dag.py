"""The pipeline as a DAG of Airflow 3, every night. Link this file into the folder of the DAGs; see docs/deploy.md."""

from datetime import UTC, datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

PROJECT = "/srv/{{ cookiecutter.package_name | distribution_name }}"

with DAG(
    "{{ cookiecutter.package_name }}",
    schedule="0 3 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    # a retry resumes: complete tasks are not run again
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5), "execution_timeout": timedelta(hours=12)},
) as dag:
    # To see a step of the pipeline in Airflow, give it an operator of its own: `run Task` before `run`.
    BashOperator(
        task_id="run",
        bash_command=".venv/bin/python -m {{ cookiecutter.package_name }} run --env prod",
        cwd=PROJECT,
    )
