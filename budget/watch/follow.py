"""Tells when something was booked or a config changed: from the file system, without polling."""

import os
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver
from watchdog.observers.polling import PollingObserver

# Not that files are opened or closed: reading a ledger would be news of itself.
_EVENTS: list[type[FileSystemEvent]] = [
    *(FileCreatedEvent, FileModifiedEvent, FileMovedEvent, FileDeletedEvent),
    *(DirCreatedEvent, DirMovedEvent, DirDeletedEvent),
]
_BOOKED = ("ledger.db", "ledger.db-wal", "plan-usage.json")
_POLL_S = 2.0


class Follower(FileSystemEventHandler):
    """Watches the state folder, even one that is not there yet or goes away, and some configs."""

    def __init__(self, folder: str, told: Callable[[bool], None]) -> None:
        """`told` is called from other threads, often; with True when configs or places changed."""
        self._folder = os.path.abspath(folder)
        self._told = told
        self._configs: frozenset[str] = frozenset()
        self._roots: set[str] = set()
        self._observer: BaseObserver | None = None
        self._moved = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="follow", daemon=True)

    def start(self) -> None:
        self._attach()
        self._thread.start()

    def stop(self) -> None:
        self._ended = True
        self._moved.set()
        self._thread.join(timeout=5)
        self._detach()

    def follow_configs(self, files: Iterable[str]) -> None:
        """Config files to watch as well; their folders need not exist."""
        wanted = frozenset(os.path.abspath(file) for file in files)
        if wanted != self._configs:
            self._configs = wanted
            self._moved.set()

    def dispatch(self, event: FileSystemEvent) -> None:
        """Called by watchdog for each event."""
        for raw in (event.src_path, event.dest_path):
            path = os.fsdecode(raw) if raw else ""
            if not path:
                continue
            name = os.path.basename(path)
            if event.is_directory:
                if self._is_place(path):
                    self._moved.set()
                elif path.startswith(self._folder + os.sep):
                    self._told(False)
            elif path in self._configs:
                self._told(True)
            elif path.startswith(self._folder + os.sep):
                if name in _BOOKED:
                    self._told(False)
                elif name.endswith(".policy") or name == "prices.json":
                    self._told(True)

    def _is_place(self, path: str) -> bool:
        """Whether what is watched depends on this folder being there."""
        places = (self._folder, *(os.path.dirname(each) for each in self._configs))
        return path in self._roots or any(
            (each + os.sep).startswith(path + os.sep) for each in places
        )

    def _run(self) -> None:
        while self._moved.wait() and not self._ended:
            self._moved.clear()
            self._detach()
            self._attach()
            self._told(True)

    def _detach(self) -> None:
        observer, self._observer = self._observer, None
        if observer:
            with suppress(OSError, RuntimeError):
                observer.stop()
                observer.join(timeout=5)

    def _attach(self) -> None:
        try:
            self._observer = self._watching(Observer())
        except OSError:
            # The system has no more watches to give: look every two seconds instead.
            self._observer = self._watching(PollingObserver(timeout=_POLL_S))

    def _watching(self, observer: BaseObserver) -> BaseObserver:
        roots = {_existing(os.path.dirname(self._folder))}
        roots |= {_existing(os.path.dirname(each)) for each in self._configs}
        if os.path.isdir(self._folder):
            roots.discard(self._folder)
            observer.schedule(self, self._folder, recursive=True, event_filter=_EVENTS)
        for root in roots:
            observer.schedule(self, root, recursive=False, event_filter=_EVENTS)
        self._roots = {*roots, self._folder}
        observer.start()
        return observer


def _existing(folder: str) -> str:
    """The folder, or the nearest one above it that is there."""
    while not os.path.isdir(folder) and os.path.dirname(folder) != folder:
        folder = os.path.dirname(folder)
    return folder
