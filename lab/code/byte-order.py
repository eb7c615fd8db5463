# Four bytes, read in either order.
import struct

wire = struct.pack("!I", 5)
print("5 packed with '!I':", wire.hex(" "))
print("read with '<I':", *struct.unpack("<I", wire))
print("read with '!I':", *struct.unpack("!I", wire))
try:
    struct.pack("i", 3 << 30)
except struct.error as error:
    print("3 GiB in an int32:", error)
