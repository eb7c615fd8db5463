/* encoding: GBK read as UTF-8 and back; what iconv does, and what it does not. */
#include <errno.h>
#include <iconv.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/text.h"
#include "lab/lab.h"

/* "Hello" in Chinese. */
static const char utf8_text[] = "\xe4\xbd\xa0\xe5\xa5\xbd";
static const char gbk_text[] = "\xc4\xe3\xba\xc3";
/* U+FFFD, which a lenient decoder puts in place of what it cannot read, twice. */
static const char replaced[] = "\xef\xbf\xbd\xef\xbf\xbd";

struct conversion {
	char text[64]; /* NUL-terminated */
	size_t bytes;
	size_t left; /* input that was not taken */
	int error;
};

static struct conversion convert(const char *to, const char *from, const char *input, size_t bytes)
{
	struct conversion result = {.left = bytes};
	char *in = (char *)(uintptr_t)input, *out = result.text;
	size_t room = sizeof(result.text) - 1;
	iconv_t converter = iconv_open(to, from);

	if (converter == (iconv_t)-1) {
		result.error = errno;
		return result;
	}
	if (iconv(converter, &in, &result.left, &out, &room) == (size_t)-1)
		result.error = errno;
	result.bytes = (size_t)(out - result.text);
	iconv_close(converter);
	return result;
}

static bool has_gbk(struct lab *lab)
{
	iconv_t converter = iconv_open("UTF-8", "GBK");

	if (converter != (iconv_t)-1) {
		iconv_close(converter);
		return true;
	}
	lab_truth(lab, LAB_SKIPPED,
		  LAB_TEXT("needs the C library's table for GBK (gconv)",
			   "需要 C 库的 GBK 转换表（gconv）"),
		  "%s", lab_error_name(errno));
	return false;
}

static void gbk_as_utf8(struct lab *lab)
{
	char buffer[16];
	struct lab_pair pair;
	struct conversion strict;
	size_t valid;
	ssize_t got;

	lab_part(lab, LAB_TEXT("A client sends GBK, the server reads UTF-8",
			       "客户端发 GBK，服务器按 UTF-8 读"));
	if (!lab_tcp_pair(lab, &pair))
		return;
	lab_send(lab, pair.client, gbk_text, 4, 0);
	got = lab_recv(lab, pair.server, buffer, sizeof(buffer), 0);
	valid = wbi_utf8_prefix(buffer, got > 0 ? (size_t)got : 0);
	strict = convert("UTF-8", "UTF-8", buffer, got > 0 ? (size_t)got : 0);
	lab_note(lab, LAB_TEXT("valid UTF-8 at the front:", "开头合法的 UTF-8："), "%zu/%zd B",
		 valid, got);
	lab_outcome(lab, valid == 0 ? 1 : valid == 4 ? 0 : 2);
	lab_truth(lab, lab_if(got == 4 && valid == 0),
		  LAB_TEXT("GBK is not UTF-8: the first byte is refused",
			   "GBK 不是 UTF-8：第一个字节就不合法"),
		  "%zu/%zd", valid, got);
	lab_truth(lab, lab_if(strict.error == EILSEQ),
		  LAB_TEXT("iconv says so: EILSEQ", "iconv 会报告：EILSEQ"), "%s",
		  lab_error_name(strict.error));
}

static void utf8_as_gbk(struct lab *lab)
{
	struct conversion wrong, back, lost;

	lab_part(lab,
		 LAB_TEXT("UTF-8 read as GBK, without any error", "UTF-8 当作 GBK 读，毫无报错"));
	wrong = convert("UTF-8", "GBK", utf8_text, strlen(utf8_text));
	lab_note(lab, LAB_TEXT("the reader sees", "读到的是"), "%s", wrong.text);
	back = convert("GBK", "UTF-8", wrong.text, wrong.bytes);
	lab_note(lab, LAB_TEXT("the same way back:", "原路转回去："), "%s", back.text);
	lab_truth(lab, lab_if(wrong.error == 0 && strcmp(wrong.text, utf8_text) != 0),
		  LAB_TEXT("UTF-8 may read as GBK: other text, no error",
			   "UTF-8 当 GBK 读：不报错，但变了字"),
		  "%s", wrong.text);
	lab_truth(lab, lab_if(strcmp(back.text, utf8_text) == 0),
		  LAB_TEXT("that can be undone", "这样的乱码还能还原"), "%s", back.text);
	lab_part(lab, LAB_TEXT("Replacement characters, read as GBK once more",
			       "替换字符再当 GBK 读一遍"));
	lost = convert("UTF-8", "GBK", replaced, strlen(replaced));
	lab_note(lab, LAB_TEXT("the reader sees", "读到的是"), "%s", lost.text);
	lab_truth(lab, lab_if(strcmp(lost.text, "\xe9\x94\x9f\xe6\x96\xa4\xe6\x8b\xb7") == 0),
		  LAB_TEXT("what a lenient decoder replaced is lost for ever",
			   "被替换掉的字再也找不回来"),
		  "%s", lost.text);
}

static void split_character(struct lab *lab)
{
	struct conversion first;

	lab_part(lab, LAB_TEXT("A read that ends in the middle of a character",
			       "一次读取恰好在一个字中间断开"));
	first = convert("UTF-8", "GBK", gbk_text, 3);
	lab_note(lab, LAB_TEXT("3 of 4 bytes give", "4 个字节先到 3 个，得到"), "%s, %s, %zu B",
		 first.text, lab_error_name(first.error), first.left);
	lab_truth(lab, lab_if(first.error == EINVAL && first.left == 1),
		  LAB_TEXT("iconv says EINVAL and leaves the half character",
			   "iconv 报 EINVAL，留下半个字"),
		  "%s left=%zu", lab_error_name(first.error), first.left);
}

static void run(struct lab *lab)
{
	gbk_as_utf8(lab);
	if (!has_gbk(lab))
		return;
	utf8_as_gbk(lab);
	split_character(lab);
}

/* Receives in reads of `step` bytes and converts; what iconv leaves waits for the next read. */
static void convert_stream(struct lab *lab, int fd, size_t step, char *text, size_t size)
{
	char held[16];
	size_t bytes = 0, used = 0;
	ssize_t got;

	while ((got = lab_recv(lab, fd, held + bytes, step, 0)) > 0) {
		struct conversion piece;

		bytes += (size_t)got;
		piece = convert("UTF-8", "GBK", held, bytes);
		if (used + piece.bytes < size)
			memcpy(text + used, piece.text, piece.bytes + 1);
		used += piece.bytes;
		memmove(held, held + bytes - piece.left, piece.left);
		bytes = lab_cure("carry") ? piece.left : 0;
	}
}

static void cure(struct lab *lab)
{
	struct lab_pair pair;
	char text[64] = "";

	lab_part(lab, LAB_TEXT("Convert at the edge, and carry the half character over",
			       "在边界上转换，半个字留到下一次"));
	if (!has_gbk(lab) || !lab_tcp_pair(lab, &pair))
		return;
	lab_send(lab, pair.client, gbk_text, 4, 0);
	lab_shutdown(lab, pair.client, SHUT_WR);
	convert_stream(lab, pair.server, 3, text, sizeof(text));
	lab_note(lab, LAB_TEXT("the reader sees", "读到的是"), "%s", text);
	lab_truth(lab, lab_if(strcmp(text, utf8_text) == 0),
		  LAB_TEXT("GBK arrives as UTF-8, in reads of 3 bytes",
			   "GBK 转成了 UTF-8，每次只读 3 字节也行"),
		  "%s", text);
}

const struct lab_experiment lab_exp_encoding = {
	.name = "encoding",
	.title = {"GBK read as UTF-8, and back", "GBK 当成 UTF-8，以及反过来"},
	.claim = {"A socket carries text; garbled characters come from the network.",
		  "套接字传的是文字，乱码是网络传坏的。"},
	.question = {"A client on a Chinese Windows sends two Chinese characters in GBK (4 bytes). "
		     "The server decodes them as UTF-8. What does it get?",
		     "中文 Windows 上的客户端用 GBK 发来两个汉字（4 字节），服务器按 UTF-8 解码，得"
		     "到什么？"},
	.choices = {{"the two characters", "就是这两个汉字"},
		    {"an error at the first byte", "第一个字节就出错"},
		    {"other characters", "别的字"}},
	.why = {"A socket carries bytes; which characters they are is an agreement. GBK's pairs "
		"are hardly ever valid UTF-8, so a strict decoder notices; the other way round GBK "
		"accepts almost anything, and nobody notices until a person reads it. A lenient "
		"decoder that puts U+FFFD for each bad byte destroys the text for good.\n"
		"iconv converts, stops at the first bad sequence (EILSEQ), and leaves an "
		"unfinished character at the end of its input (EINVAL): a stream may be cut "
		"anywhere, so carry it over to the next read.",
		"套接字传的是字节，是什么字要靠约定。GBK 的双字节几乎都不是合法的 UTF-8，严格的解码"
		"器马上就能发现；反过来，GBK 几乎什么字节都收，直到有人去读才知道是乱码。宽松的解码"
		"器把每个坏字节换成 U+FFFD，原文就彻底毁了，“锟斤拷”就是这么来的。\n"
		"iconv 负责转换：遇到非法序列就停下（EILSEQ）；输入末尾不完整的字则留着不动"
		"（EINVAL）。流可能在任何地方断开，所以要把它留到下一次读取。"},
	.sources = {"iconv(3), ERRORS; utf-8(7); charsets(7)", "RFC 3629, 3 and 10",
		    "Python library reference, bytes.decode, errors='strict'"},
	.run = run,
	.cure_title = {"UTF-8 on the wire; convert at the edge", "线上只用 UTF-8，在边界上转换"},
	.cure = cure,
};
