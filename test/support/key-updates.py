# A TLS 1.3 client that sends nothing but KeyUpdates that want to be answered, as fast as it can, and throws the answers
# away, until it is killed. Python's own ssl module has no such call: OpenSSL itself, by ctypes. Arguments: host, port.
import ctypes
import select
import socket
import sys

WANT_WRITE = 3
UPDATE_REQUESTED = 1

lib = ctypes.CDLL('libssl.so.3')
lib.TLS_client_method.restype = lib.SSL_CTX_new.restype = lib.SSL_new.restype = ctypes.c_void_p
lib.SSL_CTX_new.argtypes = lib.SSL_new.argtypes = [ctypes.c_void_p]
lib.SSL_connect.argtypes = lib.SSL_do_handshake.argtypes = [ctypes.c_void_p]
lib.SSL_set_fd.argtypes = lib.SSL_key_update.argtypes = lib.SSL_get_error.argtypes = [ctypes.c_void_p, ctypes.c_int]

connection = socket.create_connection((sys.argv[1], int(sys.argv[2])))
ssl = lib.SSL_new(lib.SSL_CTX_new(lib.TLS_client_method()))
lib.SSL_set_fd(ssl, connection.fileno())
if lib.SSL_connect(ssl) != 1:
    sys.exit('no handshake')
connection.setblocking(False)
print('connected', flush=True)

sent = 0
while True:
    sent += 1
    if sent % 100 == 0 and select.select([connection], [], [], 0)[0]:
        connection.recv(1 << 20)
    if lib.SSL_key_update(ssl, UPDATE_REQUESTED) != 1:
        sys.exit('no key update')
    while lib.SSL_do_handshake(ssl) != 1:
        if lib.SSL_get_error(ssl, -1) != WANT_WRITE:
            sys.exit('the connection was closed')
        readable, _, _ = select.select([connection], [connection], [])
        if readable and not connection.recv(1 << 20):
            sys.exit('the connection was closed')
