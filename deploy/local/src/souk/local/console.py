"""Kafka's own console consumer, on the embedded Java and jars."""

import os
from collections.abc import Sequence
from typing import NoReturn

from souk.local import jars, kafka, provision
from souk.local.errors import StackError
from souk.local.folder import Folder, write_private
from souk.local.stack import of_folder

_JAAS = "org.apache.kafka.common.security.scram.ScramLoginModule required"


def consume(folder: Folder, topic: str, options: Sequence[str]) -> NoReturn:
    """Become a console consumer of `topic` on the stack of `folder`, as the principal `subscriber`.

    options: of the console consumer, besides where Kafka is and that keys and headers are shown. Raises
    StackError for a topic that is not there for it.
    """
    stack = of_folder(folder).kafka
    public = provision.visible(stack.settings("subscriber"))
    if topic not in public:
        raise no_topic(topic, public)
    login = stack.logins["subscriber"]
    properties = folder.root / "subscriber.properties"
    settings = {
        "security.protocol": stack.protocol,
        "sasl.mechanism": stack.mechanism,
        "sasl.jaas.config": f'{_JAAS} username="{login.user}" password="{login.password}";',
        "group.id": "subscriber.by-hand",
        # Each look at the topic begins anew.
        "enable.auto.commit": "false",
    }
    write_private(properties, "".join(f"{name}={value}\n" for name, value in settings.items()))
    java = str(kafka.java())
    command = [java, "-cp", ":".join(str(path) for path in jars.classpath())]
    command += ["org.apache.kafka.tools.consumer.ConsoleConsumer", "--topic", topic]
    command += ["--bootstrap-server", stack.bootstrap, "--command-config", str(properties)]
    for shown in ("key", "headers"):
        command += ["--formatter-property", f"print.{shown}=true"]
    os.execv(java, [*command, *options])  # noqa: S606


def no_topic(topic: str, public: Sequence[str]) -> StackError:
    if not public:
        return StackError(
            f"There is no public topic {topic}, nor any other: `souk up` makes them, without --servers-only."
        )
    return StackError(f"There is no public topic {topic}: choose one of {', '.join(public)}.")
