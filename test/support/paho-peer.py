# A paho-mqtt client driven by JSON lines on standard input; it tells what happens in JSON lines on standard output.
# Commands: connect, subscribe, unsubscribe, publish, disconnect. Ends when its input does.
import json
import sys

import paho.mqtt.client as mqtt

PROTOCOLS = {"3.1": mqtt.MQTTv31, "3.1.1": mqtt.MQTTv311}


def tell(event, **facts):
    sys.stdout.write(json.dumps({"event": event, **facts}) + "\n")
    sys.stdout.flush()


def new_client(command):
    arguments = dict(
        client_id=command["clientId"],
        clean_session=command.get("clean", True),
        protocol=PROTOCOLS[command.get("version", "3.1.1")],
    )
    if hasattr(mqtt, "CallbackAPIVersion"):
        arguments["callback_api_version"] = mqtt.CallbackAPIVersion.VERSION1
    client = mqtt.Client(**arguments)
    client.on_connect = lambda _client, _data, flags, code: tell("connected", code=code, present=flags["session present"])
    client.on_disconnect = lambda _client, _data, code: tell("disconnected", code=code)
    client.on_subscribe = lambda _client, _data, _mid, granted: tell("subscribed", granted=list(granted))
    client.on_unsubscribe = lambda _client, _data, _mid: tell("unsubscribed")
    client.on_publish = lambda _client, _data, _mid: tell("published")
    client.on_message = lambda _client, _data, message: tell(
        "message",
        topic=message.topic,
        payload=message.payload.decode(),
        qos=message.qos,
        retain=bool(message.retain),
        dup=bool(message.dup),
    )
    will = command.get("will")
    if will:
        client.will_set(will["topic"], will["payload"], will.get("qos", 0), will.get("retain", False))
    if "userName" in command:
        client.username_pw_set(command["userName"], command.get("password"))
    return client


def main():
    client = None
    for line in sys.stdin:
        command = json.loads(line)
        what = command["do"]
        if what == "connect":
            client = new_client(command)
            client.connect(command["host"], command["port"], command.get("keepAlive", 60))
            client.loop_start()
        elif what == "subscribe":
            client.subscribe([(name, qos) for name, qos in command["filters"]])
        elif what == "unsubscribe":
            client.unsubscribe(command["filters"])
        elif what == "publish":
            client.publish(command["topic"], command["payload"], command.get("qos", 0), command.get("retain", False))
        elif what == "disconnect":
            client.disconnect()
            client.loop_stop()
        else:
            raise ValueError(what)


main()
