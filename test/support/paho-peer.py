# A paho-mqtt client driven by JSON lines on standard input; it tells what happens in JSON lines on standard output.
# Commands: connect, subscribe, unsubscribe, publish, disconnect. Ends when its input does. Properties of MQTT 5 have
# paho's names ("UserProperty", "ResponseTopic") in commands and MQTT's with spaces removed in what is told.
import json
import os
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

PROTOCOLS = {"3.1": mqtt.MQTTv31, "3.1.1": mqtt.MQTTv311, "5": mqtt.MQTTv5}


def tell(event, **facts):
    sys.stdout.write(json.dumps({"event": event, **facts}) + "\n")
    sys.stdout.flush()


def number(code):
    return getattr(code, "value", code)


def properties(packet, values):
    """None for MQTT 3 and where nothing is to be said."""
    if not values:
        return None
    made = Properties(packet)
    for name, value in values.items():
        setattr(made, name, [tuple(pair) for pair in value] if name == "UserProperty" else value)
    return made


def told(message):
    found = getattr(message, "properties", None)
    return {"properties": found.json()} if found and not found.isEmpty() else {}


def new_client(command):
    version = command.get("version", "3.1.1")
    arguments = dict(client_id=command["clientId"], protocol=PROTOCOLS[version])
    if version != "5":
        arguments["clean_session"] = command.get("clean", True)
    if hasattr(mqtt, "CallbackAPIVersion"):
        arguments["callback_api_version"] = mqtt.CallbackAPIVersion.VERSION1
    client = mqtt.Client(**arguments)

    def on_message(_client, _data, message):
        tell(
            "message",
            topic=message.topic,
            payload=message.payload.decode(),
            qos=message.qos,
            retain=bool(message.retain),
            dup=bool(message.dup),
            **told(message),
        )
        if command.get("dieOnMessage"):
            os._exit(9)  # paho acknowledges after this returns: the message stays unacknowledged

    # MQTT 5 calls back with properties behind, and with lists of reason codes instead of numbers.
    client.on_connect = lambda _client, _data, flags, code, *_: tell(
        "connected", code=number(code), present=flags["session present"]
    )
    client.on_disconnect = lambda _client, _data, code, *_: tell("disconnected", code=number(code))
    client.on_subscribe = lambda _client, _data, _mid, granted, *_: tell(
        "subscribed", granted=[number(code) for code in granted]
    )
    client.on_unsubscribe = lambda *_: tell("unsubscribed")
    client.on_publish = lambda *_: tell("published")
    client.on_message = on_message
    will = command.get("will")
    if will:
        extra = properties(PacketTypes.WILLMESSAGE, will.get("properties"))
        client.will_set(will["topic"], will["payload"], will.get("qos", 0), will.get("retain", False), extra)
    if "userName" in command:
        client.username_pw_set(command["userName"], command.get("password"))
    return client


def connect(command):
    client = new_client(command)
    more = {}
    if command.get("version") == "5":
        more = dict(
            clean_start=command.get("clean", True),
            properties=properties(PacketTypes.CONNECT, command.get("properties")),
        )
    client.connect(command["host"], command["port"], command.get("keepAlive", 60), **more)
    client.loop_start()
    return client


def main():
    client = None
    for line in sys.stdin:
        command = json.loads(line)
        what = command["do"]
        if what == "connect":
            client = connect(command)
        elif what == "subscribe":
            client.subscribe([(name, qos) for name, qos in command["filters"]])
        elif what == "subscribe5":
            options = mqtt.SubscribeOptions(**command["options"])
            extra = properties(PacketTypes.SUBSCRIBE, command.get("properties"))
            client.subscribe(command["filter"], options=options, properties=extra)
        elif what == "unsubscribe":
            client.unsubscribe(command["filters"])
        elif what == "publish":
            client.publish(
                command["topic"],
                command["payload"],
                command.get("qos", 0),
                command.get("retain", False),
                properties(PacketTypes.PUBLISH, command.get("properties")),
            )
        elif what == "disconnect":
            client.disconnect()
            client.loop_stop()
        else:
            raise ValueError(what)


main()
