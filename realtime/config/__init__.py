"""The configuration: every key with its meaning, its default and its limits.

It is read once, before anything is built: defaults < preset < YAML files < environment < flags. Each stage receives its
own section. A mistake becomes one ConfigError line that names the key, where it was set, the value found, and the
expected value.
"""

from realtime.config.camera import (
    MOST_PIXELS,
    URL_SCHEMES,
    Accelerator,
    ActivityMode,
    CameraConfig,
    IdleDecode,
    Transport,
)
from realtime.config.document import commented_yaml, to_yaml, without_secrets
from realtime.config.keys import Key, changes, is_repeatable, leaves, sections
from realtime.config.keywords import keyword_of, of_keywords, with_keywords
from realtime.config.layers import service_variables
from realtime.config.load import former_keys, load, parse_source
from realtime.config.models import DetectorConfig, PoseConfig, SmoothingConfig, TrackerConfig, TrackerMethod
from realtime.config.presets import PRESETS, Presets
from realtime.config.publish import MOST_PEERS, PublishConfig
from realtime.config.reading import Reading
from realtime.config.sections import ActivityConfig, AppConfig, LatencyConfig, Lever, RecordingConfig

__all__ = [
    "MOST_PEERS", "MOST_PIXELS", "PRESETS", "URL_SCHEMES", "Accelerator", "ActivityConfig", "ActivityMode",
    "AppConfig", "CameraConfig", "DetectorConfig", "IdleDecode", "Key", "LatencyConfig", "Lever", "PoseConfig",
    "Presets", "PublishConfig", "Reading", "RecordingConfig", "SmoothingConfig", "TrackerConfig", "TrackerMethod",
    "Transport", "changes", "commented_yaml", "former_keys", "is_repeatable", "keyword_of", "leaves", "load",
    "of_keywords", "parse_source", "sections", "service_variables", "to_yaml", "with_keywords",
    "without_secrets",
]  # fmt: skip
