"""Parameters of tasks: kinds, values of a call, overrides, and the check of configured values."""

from kart_runtime.task.parameters.annotated import parameter
from kart_runtime.task.parameters.coercion import as_found, coerce, is_optional, keeps_blanks, takes_text
from kart_runtime.task.parameters.inheritance import inherits_config_params
from kart_runtime.task.parameters.kinds import (
    ExplicitBoolParameter,
    ListTaskInstanceParameter,
    Serializable,
    SerializableParameter,
    TaskInstanceParameter,
    ZonedDateSecondParameter,
)
from kart_runtime.task.parameters.options import (
    MapParameter,
    OptionsParameter,
    adopt_defaults,
    replace_parameter,
    thawed,
)
from kart_runtime.task.parameters.overrides import (
    ActiveOverrides,
    Override,
    VariantBlock,
    WrongOverride,
    active_overrides,
    has_secrets,
    overrides_for,
    overriding,
    process_overrides,
    secret_names,
    set_overrides,
    under_active_overrides,
    under_no_overrides,
    using_overrides,
)
from kart_runtime.task.parameters.resolution import (
    Declaration,
    accepted,
    completed,
    declaration,
    forget_declarations,
    luigi_section,
    resolve,
)
from kart_runtime.task.parameters.secret import SecretParameter, is_reference
from kart_runtime.task.parameters.values import ONE_TEXT, kinds_of

__all__ = [
    "ONE_TEXT",
    "ActiveOverrides",
    "Declaration",
    "ExplicitBoolParameter",
    "ListTaskInstanceParameter",
    "MapParameter",
    "OptionsParameter",
    "Override",
    "SecretParameter",
    "Serializable",
    "SerializableParameter",
    "TaskInstanceParameter",
    "VariantBlock",
    "WrongOverride",
    "ZonedDateSecondParameter",
    "accepted",
    "active_overrides",
    "adopt_defaults",
    "as_found",
    "coerce",
    "completed",
    "declaration",
    "forget_declarations",
    "has_secrets",
    "inherits_config_params",
    "is_optional",
    "is_reference",
    "keeps_blanks",
    "kinds_of",
    "luigi_section",
    "overrides_for",
    "overriding",
    "parameter",
    "process_overrides",
    "replace_parameter",
    "resolve",
    "secret_names",
    "set_overrides",
    "takes_text",
    "thawed",
    "under_active_overrides",
    "under_no_overrides",
    "using_overrides",
]
