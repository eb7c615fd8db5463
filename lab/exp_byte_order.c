/* byte-order: 'i', '<i', '!i'; what an int32 cannot say; a length that lies. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "lab/lab.h"
#include "waybill/length.h"

enum { LIMIT_BYTES = 1024 * 1024 };

static const uint64_t three_gib = UINT64_C(3) << 30;

/* Encodes, sends and shows four bytes; false where the format cannot hold the value. */
static bool send_length(struct lab *lab, int fd, enum wb_length_format format, const char *name,
			uint64_t value)
{
	uint8_t bytes[WB_LENGTH_BYTES];

	if (wb_length_encode(format, value, bytes, NULL) != WB_OK)
		return false;
	lab_note(lab, LAB_TEXT("packed with", "打包格式"), "%s: %02x %02x %02x %02x", name,
		 bytes[0], bytes[1], bytes[2], bytes[3]);
	return lab_send(lab, fd, bytes, sizeof(bytes), 0) == WB_LENGTH_BYTES;
}

static uint32_t recv_length(struct lab *lab, int fd, enum wb_length_format format)
{
	uint8_t bytes[WB_LENGTH_BYTES] = {0};
	uint32_t value = 0;

	lab_recv(lab, fd, bytes, sizeof(bytes), MSG_WAITALL);
	if (wb_length_decode(format, bytes, sizeof(bytes), UINT32_MAX, &value, NULL) !=
	    WB_DECODE_DONE)
		return 0;
	return value;
}

static void two_orders(struct lab *lab)
{
	struct lab_pair pair;
	uint32_t same, other;

	lab_part(lab,
		 LAB_TEXT("The length 5, sent by a big-endian peer", "长度 5，由大端的对端发来"));
	if (!lab_tcp_pair(lab, &pair))
		return;
	send_length(lab, pair.client, WB_LENGTH_U32_BE, "'!I'", 5);
	other = recv_length(lab, pair.server, WB_LENGTH_U32_LE);
	lab_note(lab, LAB_TEXT("read with", "解包格式"), "'<I': %" PRIu32, other);
	send_length(lab, pair.client, WB_LENGTH_U32_BE, "'!I'", 5);
	same = recv_length(lab, pair.server, WB_LENGTH_U32_BE);
	lab_note(lab, LAB_TEXT("read with", "解包格式"), "'!I': %" PRIu32, same);
	lab_outcome(lab, other == 5 ? 0 : other == 83886080 ? 1 : 2);
	lab_truth(lab, lab_if(other == 83886080 && same == 5),
		  LAB_TEXT("in the other order 5 reads as 83886080",
			   "字节序读反了，5 就成了 83886080"),
		  "%" PRIu32 ", %" PRIu32, other, same);
}

static void native_order(struct lab *lab)
{
	union {
		uint32_t value;
		uint8_t bytes[4];
	} one = {.value = 1};

	lab_part(lab, LAB_TEXT("What 'i' means on this machine", "'i' 在这台机器上是什么"));
	lab_note(lab, LAB_TEXT("the int 1 in memory:", "整数 1 在内存中："), "%02x %02x %02x %02x",
		 one.bytes[0], one.bytes[1], one.bytes[2], one.bytes[3]);
	lab_truth(
		lab, one.bytes[0] == 1 ? LAB_HOLDS : LAB_VARIES,
		LAB_TEXT("'i' is the machine's own order: little-endian", "'i' 用本机字节序：小端"),
		"%02x...%02x", one.bytes[0], one.bytes[3]);
}

static void too_large(struct lab *lab)
{
	struct wb_fault fault = {0};
	uint8_t bytes[WB_LENGTH_BYTES];
	enum wb_err err = wb_length_encode(WB_LENGTH_I32_LE, three_gib, bytes, &fault);
	enum wb_err unsigned_err = wb_length_encode(WB_LENGTH_U32_LE, three_gib, bytes, NULL);
	int32_t cast;

	lab_part(lab, LAB_TEXT("A length of 3 GiB in an int32", "用 int32 表示 3 GiB 的长度"));
	memcpy(&cast, &(uint32_t){(uint32_t)three_gib}, sizeof(cast));
	lab_note(lab, LAB_TEXT("cast to int32 it is", "强制转换成 int32 得到"), "%" PRId32, cast);
	lab_note(lab, LAB_TEXT("the codec says:", "编码器说："), "%s", wb_err_name(err));
	lab_truth(lab, lab_if(err == WB_ERR_RANGE && cast < 0 && unsigned_err == WB_OK),
		  LAB_TEXT("an int32 cannot say 3 GiB; a cast lies",
			   "int32 装不下 3 GiB，强转得到负数"),
		  "%s, %" PRId32, wb_err_name(err), cast);
}

/* What a decoder makes of a head that promises 2 GiB and brings 5 bytes. */
static enum wb_decode believe(struct lab *lab, uint32_t limit, struct wb_frame *frame,
			      struct wb_fault *fault)
{
	struct lab_pair pair;
	uint8_t buffer[64];
	ssize_t got;

	if (!lab_tcp_pair(lab, &pair))
		return WB_DECODE_DONE;
	lab_send(lab, pair.client, "\xff\xff\xff\x7fhello", 9, 0);
	got = lab_recv(lab, pair.server, buffer, sizeof(buffer), 0);
	return wb_frame_decode(WB_LENGTH_U32_LE, buffer, got > 0 ? (size_t)got : 0, limit, frame,
			       fault);
}

static void lie(struct lab *lab)
{
	struct wb_frame frame = {0};
	struct wb_fault fault = {0};
	enum wb_decode decoded;

	lab_part(lab, LAB_TEXT("A length that lies: 2 GiB promised, 5 bytes sent",
			       "说谎的长度：声称 2 GiB，只发 5 字节"));
	decoded = believe(lab, UINT32_MAX, &frame, &fault);
	lab_note(lab, LAB_TEXT("a reader that believes it needs", "信以为真的读者需要"), "%zu B",
		 frame.need);
	lab_truth(lab, lab_if(decoded == WB_DECODE_NEED && frame.need > INT32_MAX),
		  LAB_TEXT("whoever believes it waits (and allocates) for ever",
			   "信了就会一直等（还会分配内存）"),
		  "%zu B", frame.need);
}

static void run(struct lab *lab)
{
	two_orders(lab);
	native_order(lab);
	too_large(lab);
	lie(lab);
}

static void cure(struct lab *lab)
{
	struct wb_frame frame = {0};
	struct wb_fault fault = {0};
	struct lab_pair pair;
	enum wb_decode decoded;
	uint32_t value;

	lab_part(lab, LAB_TEXT("One order, written down: u32, little-endian",
			       "写明一种字节序：u32 小端"));
	if (!lab_tcp_pair(lab, &pair))
		return;
	send_length(lab, pair.client, lab_cure("order") ? WB_LENGTH_U32_LE : WB_LENGTH_U32_BE,
		    "'<I'", 5);
	value = recv_length(lab, pair.server, WB_LENGTH_U32_LE);
	lab_truth(lab, lab_if(value == 5), LAB_TEXT("5 arrives as 5", "5 收到还是 5"), "%" PRIu32,
		  value);
	lab_part(lab, LAB_TEXT("A limit before any memory is taken: 1 MiB",
			       "分配内存之前先看上限：1 MiB"));
	decoded = believe(lab, lab_cure("limit") ? LIMIT_BYTES : UINT32_MAX, &frame, &fault);
	lab_note(lab, LAB_TEXT("the codec says:", "解码器说："), "%s", wb_err_name(fault.err));
	lab_truth(lab, lab_if(decoded == WB_DECODE_BAD && fault.err == WB_ERR_LIMIT),
		  LAB_TEXT("the lie is refused at once", "谎言当场被拒绝"), "%s",
		  wb_err_name(fault.err));
}

const struct lab_experiment lab_exp_byte_order = {
	.name = "byte-order",
	.title = {"four bytes of length, and what they can mean", "四个字节的长度，可以有几种意思"},
	.claim = {"struct.pack('i', n) is four bytes that any machine understands.",
		  "struct.pack('i', n) 打成四个字节，哪台机器都认得。"},
	.question =
		{"A peer packs the length 5 with '!I' (network order). The reader unpacks it with "
		 "'<I'. What length does it see?",
		 "对端用 '!I'（网络字节序）打包长度 5，读的一方用 '<I' 解包，看到的长度是多少？"},
	.choices = {{"5", "5"}, {"83886080", "83886080"}, {"an error", "报错"}},
	.why = {"Four bytes have no order written on them. 'i' is whatever the machine has (and "
		"with other fields before it, padding too); '<i' is little-endian and '!i' "
		"big-endian everywhere. Both are fine, as long as both sides agree.\n"
		"A signed 32-bit length ends at 2147483647; a larger one wraps to a negative "
		"number where nobody checks (Python's struct refuses). And a length is what the "
		"peer says, not what is true: check it against a limit before allocating, and "
		"expect the rest never to come.",
		"四个字节上并没有写着顺序。'i' 是本机的字节序（前面有别的字段时还会对齐填充）；"
		"'<i' 在哪里都是小端，'!i' 在哪里都是大端。用哪种都行，只要双方一致。\n"
		"有符号 32 位的长度最多到 2147483647，再大又没人检查，就会绕成负数（Python 的 "
		"struct 会拒绝）。而且长度只是对方说的，未必是真的：分配内存之前先和上限比较，也要"
		"想到余下的数据可能永远不来。"},
	.sources = {"Python library reference, struct: byte order, size, and alignment",
		    "byteorder(3); endian(3)", "RFC 1700, Data Notation"},
	.run = run,
	.cure_title = {"one order, unsigned, with a limit", "约定字节序，用无符号数，设上限"},
	.cure = cure,
};
