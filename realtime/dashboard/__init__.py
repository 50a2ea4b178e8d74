# SPDX-License-Identifier: MIT
"""The dashboard: a process of its own that reads the streams of pipelines and serves a live page, metrics and health.

It is at the far end of the data path, like any subscriber. Nothing that happens here can delay or end a pipeline. This
folder is under the MIT licence and imports nothing else of this package but `realtime.wire` and the small files that
`realtime.wire` uses.
"""
