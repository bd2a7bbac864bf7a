{
  'targets': [
    {
      'target_name': 'martlet',
      'sources': [
        'native/src/addon.cc',
        'native/src/arguments.cc',
        'native/src/loop/commands.cc',
        'native/src/loop/node_loop.cc',
        'native/src/loop/reactor.cc',
        'native/src/loop/reading.cc',
        'native/src/loop/writing.cc',
        'native/src/open_reactor.cc',
        'native/src/mqtt/kept_frames.cc',
        'native/src/mqtt/publish_frame.cc',
        'native/src/mqtt/topic_table.cc',
        'native/src/net/buffer_pool.cc',
        'native/src/net/connection.cc',
        'native/src/net/groups.cc',
        'native/src/net/listener.cc',
        'native/src/net/output_queue.cc',
        'native/src/net/sockets.cc',
      ],
      'include_dirs': ['native/src', "<!@(node -p \"require('node-addon-api').include\")"],
      'defines': ['NAPI_VERSION=8', 'NAPI_DISABLE_CPP_EXCEPTIONS', 'NODE_ADDON_API_DISABLE_DEPRECATED'],
      # Node's common.gypi asks for the C++ of its own headers; ours is C++20.
      'cflags_cc!': ['-std=gnu++17', '-std=gnu++1y', '-O2'],
      'cflags_cc': ['-std=c++20', '-O3', '-fno-exceptions', '-fno-rtti', '-fvisibility=hidden', '-Wall', '-Wextra'],
      'conditions': [["OS!='linux'", {'sources/': [['exclude', '.*']]}]],
    },
  ],
}
