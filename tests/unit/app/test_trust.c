/* Trust: known_hosts is read for each connection, be it before the host's key has come or then. */
#include "../keys/fixtures.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/trust.h"

enum { PORT = 9292 };

static char folder[] = "/tmp/waybill-trust-XXXXXX", path[sizeof(folder) + 16];

static int make_folder(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/known_hosts", folder);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(folder);
}

static void write_known(const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static struct wbi_trust *new_trust(void)
{
	const struct wb_client_options options = {.known_hosts = path};
	struct wbi_trust *trust;

	assert_int_equal(wbi_trust_new(&options, "box", PORT, &trust), WB_OK);
	return trust;
}

/* What begins with every connection. */
static void connect_anew(struct wbi_trust *trust)
{
	struct wb_fault fault;
	struct wbi_tls *tls;

	assert_int_equal(wbi_trust_begin(trust, &tls, &fault), WB_OK);
	wbi_tls_free(tls);
}

static enum wb_err judge_alice(struct wbi_trust *trust)
{
	struct wbi_public_key alice = key_of(ALICE_KEY);
	struct wb_fault fault;
	bool asked;

	return wbi_trust_judge(trust, &alice, &asked, &fault);
}

#define ALICE_IN_BOX "[box]:9292 " ALICE_KEY "\n"

static void test_each_judgement_knows_what_is_written_now(void **state)
{
	struct wbi_trust *trust = new_trust();
	(void)state;

	write_known(ALICE_IN_BOX);
	connect_anew(trust);
	wbi_trust_prepare(trust);
	assert_int_equal(judge_alice(trust), WB_OK);
	write_known("@revoked " ALICE_IN_BOX);
	assert_int_equal(judge_alice(trust), WB_ERR_REFUSED);
	wbi_trust_prepare(trust); /* and the host takes its time */
	write_known(ALICE_IN_BOX);
	assert_int_equal(judge_alice(trust), WB_OK);
	wbi_trust_prepare(trust);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(judge_alice(trust), WB_ERR_REFUSED);
	wbi_trust_prepare(trust);
	write_known(ALICE_IN_BOX);
	assert_int_equal(judge_alice(trust), WB_OK);
	wbi_trust_prepare(trust); /* and nobody comes: freed all the same */
	wbi_trust_free(trust);
}

/* The last connection never came to the host's key, and since then that was revoked. */
static void test_a_new_connection_reads_anew(void **state)
{
	struct wbi_trust *trust = new_trust();
	(void)state;

	write_known(ALICE_IN_BOX);
	connect_anew(trust);
	wbi_trust_prepare(trust);
	write_known("@revoked " ALICE_IN_BOX);
	connect_anew(trust);
	wbi_trust_prepare(trust);
	assert_int_equal(judge_alice(trust), WB_ERR_REFUSED);
	wbi_trust_free(trust);
}

/* What cannot be read is told when it is needed. */
static void test_trouble_is_told_by_the_judgement(void **state)
{
	struct wbi_trust *trust = new_trust();
	struct wbi_public_key alice = key_of(ALICE_KEY);
	struct wb_fault fault;
	bool asked;
	(void)state;

	write_known(ALICE_IN_BOX);
	assert_int_equal(chmod(path, 0666), 0);
	connect_anew(trust);
	wbi_trust_prepare(trust);
	assert_int_equal(wbi_trust_judge(trust, &alice, &asked, &fault), WB_ERR_REFUSED);
	assert_non_null(strstr(fault.text, "others can write to it"));
	assert_int_equal(chmod(path, 0600), 0);
	assert_int_equal(judge_alice(trust), WB_OK);
	wbi_trust_free(trust);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_judgement_knows_what_is_written_now),
		cmocka_unit_test(test_a_new_connection_reads_anew),
		cmocka_unit_test(test_trouble_is_told_by_the_judgement),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
