"""`python commanding.py <service> <command>…`: a service's commands, each as its own process would do it.

One process does them all: most of what a command costs is its imports. After what each prints comes a line
with its exit code.
"""

import importlib
import json
import shlex
import sys

if __name__ == "__main__":
    service, *lines = sys.argv[1:]
    main = importlib.import_module(f"souk.{service}.main").main
    for line in lines:
        try:
            main(shlex.split(line))
        except SystemExit as end:
            print(json.dumps({"exit": end.code}), flush=True)
