// The command line of the load generator.
#include "options.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>

#include "traffic.h"

namespace {

const char* const kUsage = R"(load: closed-loop MQTT load generator (3.1.1 and 5), one thread

  --shape pair|fanin|fanout|idle|burst|storm   who talks to whom (pair)
  --host A  --port N                     the broker (127.0.0.1, 1883)
  --protocol tcp|websocket|tls           what MQTT is carried by (tcp); certificates are not verified
  --pid N                                the broker's process: its CPU and memory are reported
  --pubs N  --subs N                     publishers (idle, burst, storm: connections), subscribers (1, 1)
  --qos N  --size BYTES                  of the messages (0, 64)
  --window N                             messages outstanding per publisher (100)
  --rate R                               messages a second and publisher (as fast as the window allows)
  --secs T  --warm T                     measured, and before it (3, 1)
  --messages N                           measure N messages instead of T seconds
  --gate                                 after the warm-up print "ready", go on at a line on stdin
  --parallel N                           connections being opened at a time (100)
  --base N                               idle: memory is the slope between N and all connections (0)
  --calm T                               burst: memory counts when it has not moved for so long (5)
  --v5  --persist  --json
  --away                                 pair with --persist and a QoS: subscribers leave, come back at the end and take
                                         everything; the window closes on acknowledgements, which are what is counted
)";

[[noreturn]] void usage_error(const std::string& what) {
  fprintf(stderr, "%s\n%s", what.c_str(), kUsage);
  exit(2);
}

Shape parse_shape(const std::string& name) {
  for (Shape shape : {Shape::pair, Shape::fanin, Shape::fanout, Shape::idle, Shape::burst, Shape::storm})
    if (name == shape_name(shape)) return shape;
  usage_error("no shape " + name);
}

Protocol parse_protocol(const std::string& name) {
  if (name == "tcp") return Protocol::tcp;
  if (name == "websocket") return Protocol::websocket;
  if (name == "tls") return Protocol::tls;
  usage_error("no protocol " + name);
}

double parse_number(const std::string& name, const std::string& text, double minimum, double maximum) {
  char* end = nullptr;
  double value = strtod(text.c_str(), &end);
  if (text.empty() || *end != 0 || !(value >= minimum && value <= maximum))
    usage_error(name + ": " + text + " is not a number in its range");
  return value;
}

}  // namespace

const char* shape_name(Shape shape) {
  switch (shape) {
    case Shape::pair: return "pair";
    case Shape::fanin: return "fanin";
    case Shape::fanout: return "fanout";
    case Shape::idle: return "idle";
    case Shape::burst: return "burst";
    case Shape::storm: return "storm";
  }
  return "";
}

Options parse_options(int count, char** arguments) {
  Options o;
  using Text = const std::string&;
  std::map<std::string, std::function<void(Text, Text)>> valued;
  auto number = [&](const char* name, auto& target, double minimum, double maximum) {
    valued[name] = [&target, minimum, maximum](Text flag, Text text) {
      target = static_cast<std::remove_reference_t<decltype(target)>>(parse_number(flag, text, minimum, maximum));
    };
  };
  valued["--shape"] = [&](Text, Text text) { o.shape = parse_shape(text); };
  valued["--protocol"] = [&](Text, Text text) { o.protocol = parse_protocol(text); };
  valued["--host"] = [&](Text, Text text) { o.host = text; };
  number("--port", o.port, 1, 65535);
  number("--pid", o.pid, 1, 1 << 30);
  number("--pubs", o.publishers, 1, 65535);  // a publisher's number is 16 bits of the stamp
  number("--subs", o.subscribers, 1, 1e6);
  number("--qos", o.qos, 0, 2);
  number("--size", o.payload_size, kStampSize, 1 << 27);
  number("--window", o.window, 1, 60000);  // below the 65,535 packet identifiers
  number("--rate", o.rate, 0.001, 1e6);
  number("--secs", o.seconds, 0, 86400);
  number("--warm", o.warm_seconds, 0, 3600);
  number("--messages", o.messages, 1, 1e12);
  number("--parallel", o.parallel, 1, 10000);
  number("--calm", o.calm_seconds, 0, 600);
  number("--base", o.base, 0, 1e6);
  std::map<std::string, bool*> switches = {
      {"--gate", &o.gate}, {"--v5", &o.mqtt5}, {"--persist", &o.persist}, {"--away", &o.away}, {"--json", &o.json}};

  for (int i = 1; i < count; i++) {
    std::string name = arguments[i];
    if (name == "--help") {
      fputs(kUsage, stdout);
      exit(0);
    }
    if (switches.count(name)) {
      *switches[name] = true;
    } else if (valued.count(name)) {
      if (++i >= count) usage_error(name + " needs a value");
      valued[name](name, arguments[i]);
    } else {
      usage_error("no option " + name);
    }
  }
  if (o.away && (o.shape != Shape::pair || !o.persist || !o.qos)) usage_error("--away needs pair, --persist and --qos");
  if (o.shape == Shape::pair) o.subscribers = o.publishers;
  if (o.shape == Shape::idle || o.shape == Shape::burst || o.shape == Shape::storm) o.subscribers = 0;
  return o;
}
