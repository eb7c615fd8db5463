# The same bytes read as GBK and as UTF-8.
import sys

sys.stdout.reconfigure(encoding="utf-8")  # whatever the locale says
gbk, utf8 = "你好".encode("gbk"), "你好".encode("utf-8")
try:
    gbk.decode("utf-8")
except UnicodeDecodeError as error:
    print("GBK read as UTF-8:", error.reason, "at byte", error.start)
print("GBK read as GBK:", gbk.decode("gbk"))
print("UTF-8 read as GBK:", utf8.decode("gbk"))
print("two U+FFFD read as GBK:", "\ufffd\ufffd".encode("utf-8").decode("gbk"))
