/* The same bytes read as GBK and as UTF-8. */
#include <errno.h>
#include <iconv.h>
#include <stdio.h>
#include <string.h>

static void convert(const char *what, const char *to, const char *from, const char *text)
{
	char input[64], output[64], *in = input, *out = output;
	size_t left = strlen(text), room = sizeof(output) - 1;
	iconv_t converter = iconv_open(to, from);

	memcpy(input, text, left);
	errno = 0;
	if (iconv(converter, &in, &left, &out, &room) == (size_t)-1)
		printf("%s: %s at byte %td\n", what, strerror(errno), in - input);
	else
		printf("%s: %.*s\n", what, (int)(out - output), output);
	iconv_close(converter);
}

int main(void)
{
	convert("GBK read as UTF-8", "UTF-8", "UTF-8", "\xc4\xe3\xba\xc3");
	convert("GBK read as GBK", "UTF-8", "GBK", "\xc4\xe3\xba\xc3");
	convert("UTF-8 read as GBK", "UTF-8", "GBK", "\xe4\xbd\xa0\xe5\xa5\xbd");
	convert("two U+FFFD read as GBK", "UTF-8", "GBK", "\xef\xbf\xbd\xef\xbf\xbd");
	return 0;
}
