/* Runs one command on a daemon, blocks until it has ended, and says how it did.
 *
 *     cc run.c $(pkg-config --cflags --libs waybill)
 *     ./a.out unix:///run/user/1000/waybill.sock uname -a */
#include <stdio.h>

#include <waybill/client.h>

enum { OUTPUT_BYTES_MAX = 16 << 20 };

int main(int argc, char **argv)
{
	struct wb_exec exec = {.argv = (const char *const *)argv + 2};
	struct wb_output output;
	struct wb_fault fault;
	int code;

	if (argc < 3) {
		fprintf(stderr, "usage: %s URI COMMAND [ARGUMENT]...\n", argv[0]);
		return 2;
	}
	if (wb_run(argv[1], &exec, NULL, 0, OUTPUT_BYTES_MAX, &output, &fault) != WB_OK) {
		fprintf(stderr, "%s\n", fault.text);
		return 1;
	}
	fwrite(output.out, 1, output.out_bytes, stdout);
	printf("-- %s", wb_outcome_name(output.result.outcome));
	if (output.result.outcome == WB_OUTCOME_EXITED)
		printf(" %u", output.result.code);
	if (output.result.text[0])
		printf(": %s", output.result.text);
	printf(", %zu bytes of stdout, %zu of stderr, %s\n", output.out_bytes, output.err_bytes,
	       output.result.complete ? "complete" : "incomplete");
	/* Success is an exit code of 0 *and* output of which nothing is missing. */
	code = output.result.outcome == WB_OUTCOME_EXITED && output.result.complete &&
			       output.result.code == 0
		       ? 0
		       : 1;
	wb_output_done(&output);
	return code;
}
