# A paho-mqtt client driven by JSON lines on standard input; it tells what happens in JSON lines on standard output.
# Commands: connect, subscribe, unsubscribe, publish, disconnect. Ends when its input does.
import json
import sys

import paho.mqtt.client as mqtt

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

PROTOCOLS = {"3.1": mqtt.MQTTv31, "3.1.1": mqtt.MQTTv311, "5": mqtt.MQTTv5}


def tell(event, **facts):
    sys.stdout.write(json.dumps({"event": event, **facts}) + "\n")
    sys.stdout.flush()


def properties_of(command, packet):
    """MQTT 5 properties by paho's names; UserProperty is a list of pairs."""
    told = command.get("properties")
    if told is None:
        return None
    properties = Properties(packet)
    for name, value in told.items():
        if name == "UserProperty":
            value = [tuple(pair) for pair in value]
        elif name in ("CorrelationData", "AuthenticationData"):
            value = value.encode()
        setattr(properties, name, value)
    return properties


def told_properties(properties):
    """As JSON: what paho has read, bytes as text."""
    facts = properties.json() if properties is not None else {}
    return {name: bytes.fromhex(value).decode() if name == "CorrelationData" else value for name, value in facts.items()}


def codes(granted):
    granted = granted if isinstance(granted, (list, tuple)) else [granted]
    return [getattr(code, "value", code) for code in granted]


def new_client(command):
    version = command.get("version", "3.1.1")
    arguments = dict(client_id=command["clientId"], protocol=PROTOCOLS[version])
    if version != "5":
        arguments["clean_session"] = command.get("clean", True)
    if hasattr(mqtt, "CallbackAPIVersion"):
        arguments["callback_api_version"] = mqtt.CallbackAPIVersion.VERSION1
    client = mqtt.Client(**arguments)
    five = version == "5"

    def on_connect(_client, _data, flags, code, properties=None):
        facts = {"properties": told_properties(properties)} if five else {}
        tell("connected", code=codes(code)[0], present=flags["session present"], **facts)

    def on_message(_client, _data, message):
        facts = {"properties": told_properties(message.properties)} if five else {}
        tell(
            "message",
            topic=message.topic,
            payload=message.payload.decode(),
            qos=message.qos,
            retain=bool(message.retain),
            dup=bool(message.dup),
            **facts,
        )
        if command.get("dieOnMessage"):
            os._exit(9)  # paho acknowledges after this returns: the message stays unacknowledged

    client.on_connect = on_connect
    client.on_message = on_message
    client.on_disconnect = lambda _client, _data, code, *_more: tell("disconnected", code=codes(code)[0])
    client.on_subscribe = lambda _client, _data, _mid, granted, *_more: tell("subscribed", granted=codes(granted))
    client.on_unsubscribe = lambda _client, _data, _mid, *_more: tell("unsubscribed")
    client.on_publish = lambda _client, _data, _mid: tell("published")
    will = command.get("will")
    if will:
        more = {"properties": properties_of(will, PacketTypes.WILLMESSAGE)} if five else {}
        client.will_set(will["topic"], will["payload"], will.get("qos", 0), will.get("retain", False), **more)
    if "userName" in command:
        client.username_pw_set(command["userName"], command.get("password"))
    return client


def connect(command):
    client = new_client(command)
    more = {}
    if command.get("version") == "5":
        more = dict(clean_start=command.get("clean", True), properties=properties_of(command, PacketTypes.CONNECT))
    client.connect(command["host"], command["port"], command.get("keepAlive", 60), **more)
    client.loop_start()
    return client


def subscribe(client, command):
    options = command.get("options")
    if options is None and "properties" not in command:
        client.subscribe([(name, qos) for name, qos in command["filters"]])
        return
    filters = [(name, SubscribeOptions(qos=qos, **(options or {}))) for name, qos in command["filters"]]
    client.subscribe(filters, properties=properties_of(command, PacketTypes.SUBSCRIBE))


def publish(client, command):
    more = {"properties": properties_of(command, PacketTypes.PUBLISH)} if "properties" in command else {}
    client.publish(command["topic"], command["payload"], command.get("qos", 0), command.get("retain", False), **more)


def main():
    client = None
    for line in sys.stdin:
        command = json.loads(line)
        what = command["do"]
        if what == "connect":
            client = connect(command)
        elif what == "subscribe":
            subscribe(client, command)
        elif what == "unsubscribe":
            client.unsubscribe(command["filters"])
        elif what == "publish":
            publish(client, command)
        elif what == "disconnect":
            client.disconnect()
            client.loop_stop()
        else:
            raise ValueError(what)


main()
