"""Settings of the report to Slack."""

from __future__ import annotations

import luigi


class SlackConfig(luigi.Config):
    """Where to report: ``[SlackConfig]`` in luigi's configuration, or ``--SlackConfig-channel`` and so on."""

    token_name: luigi.Parameter[str] = luigi.Parameter(
        default="SLACK_TOKEN", description="The environment variable that holds the token of the Slack app."
    )
    channel: luigi.Parameter[str] = luigi.Parameter(
        default="", significant=False, description="The channel's name; without one nothing is sent."
    )
    to_user: luigi.Parameter[str] = luigi.Parameter(
        default="", significant=False, description="Who is mentioned in the message."
    )
    send_tree_info: luigi.BoolParameter = luigi.BoolParameter(
        default=False, significant=False, description="Whether the tree of tasks is sent, too; it can be long."
    )
