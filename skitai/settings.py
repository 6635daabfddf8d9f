"""The small frozen values that configuration is handed down in.

Nobody below the composition root sees all settings: the connection gets ``Limits``, the thread pool ``PoolSettings``,
and so on. ``skitai.config`` makes them. Times are in seconds, sizes in bytes; what each value means in full stands at
the option of the same name in ``skitai.config``. It must not know any other module.

Thread: any.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What one connection may cost.

    Attributes:
        keep_alive_timeout: Seconds an idle connection stays open.
        head_timeout: Seconds from the first byte of a request head to its last.
        body_min_rate: Bytes a second that a request body must come at; 0 for no such limit.
        body_min_rate_grace: Seconds before that rate is first looked at.
        drain_timeout: Seconds without progress before a client that does not read its response is cut off.
        max_head_size: Bytes of a request line and its header fields.
        max_target_size: Bytes of a request target.
        max_post_body_size: Bytes of a request body.
        body_spool_size: Bytes of a body that are gathered before an application starts.
        response_buffer_size: Bytes that may wait for one client before the application is blocked.
    """

    keep_alive_timeout: float = 2.0
    head_timeout: float = 30.0
    body_min_rate: int = 240
    body_min_rate_grace: float = 10.0
    drain_timeout: float = 60.0
    max_head_size: int = 64 * 1024
    max_target_size: int = 16 * 1024
    max_post_body_size: int = 1024 * 1024 * 1024
    body_spool_size: int = 64 * 1024
    response_buffer_size: int = 256 * 1024


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """How many requests applications work on at once.

    Attributes:
        threads: Application threads; 0 runs applications on the reactor thread.
        max_queued: Requests that may wait for a thread.
    """

    threads: int = 4
    max_queued: int = 1000


@dataclass(frozen=True, slots=True)
class LogSettings:
    """Where and how logs are written.

    Attributes:
        path: Directory of the log files, None for the console.
        access_log_format: "text" or "json".
        rotate_size: Bytes after which a file is rotated, 0 for never.
        rotate_keep: Rotated files kept of each log.
        verbose: Whether everything goes to the console too.
    """

    path: str | None = None
    access_log_format: str = "text"
    rotate_size: int = 64 * 1024 * 1024
    rotate_keep: int = 10
    verbose: bool = False


@dataclass(frozen=True, slots=True)
class CompressionSettings:
    """When response bodies are compressed.

    Attributes:
        enabled: Whether they are at all.
        min_size: Bytes from which a body is worth it.
        level: 1 (fast) to 9 (small).
    """

    enabled: bool = True
    min_size: int = 1024
    level: int = 6
