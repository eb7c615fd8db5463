/* The heap: order, removal from anywhere, and a random life beside a linear search. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/heap.h"

enum { NODES = 300 };

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

static void check_heap(const struct wbi_heap *heap)
{
	for (size_t i = 0; i < heap->count; i++) {
		assert_int_equal(heap->nodes[i]->place, i + 1);
		if (i)
			assert_true(heap->nodes[(i - 1) / 2]->key <= heap->nodes[i]->key);
	}
}

static void test_empty(void **state)
{
	struct wbi_heap heap;
	struct wbi_heap_node node = {0};

	(void)state;
	wbi_heap_init(&heap);
	assert_null(wbi_heap_peek(&heap));
	wbi_heap_remove(&heap, &node);
	wbi_heap_done(&heap);
	wbi_heap_done(NULL);
}

static void test_sorts(void **state)
{
	struct wbi_heap_node nodes[NODES] = {0};
	struct wbi_heap heap;
	uint64_t last = 0;
	uint32_t random = 7;

	(void)state;
	wbi_heap_init(&heap);
	for (int i = 0; i < NODES; i++)
		assert_int_equal(wbi_heap_add(&heap, &nodes[i], next_random(&random) % 100), WB_OK);
	check_heap(&heap);
	for (int i = 0; i < NODES; i++) {
		struct wbi_heap_node *least = wbi_heap_peek(&heap);

		assert_true(least->key >= last);
		last = least->key;
		wbi_heap_remove(&heap, least);
		assert_int_equal(least->place, 0);
	}
	assert_null(wbi_heap_peek(&heap));
	wbi_heap_done(&heap);
}

static void test_extreme_keys(void **state)
{
	struct wbi_heap_node never = {0}, now = {0};
	struct wbi_heap heap;

	(void)state;
	wbi_heap_init(&heap);
	assert_int_equal(wbi_heap_add(&heap, &never, UINT64_MAX), WB_OK);
	assert_ptr_equal(wbi_heap_peek(&heap), &never);
	assert_int_equal(wbi_heap_add(&heap, &now, 0), WB_OK);
	assert_ptr_equal(wbi_heap_peek(&heap), &now);
	wbi_heap_done(&heap);
}

static uint64_t least_key(const struct wbi_heap_node *nodes)
{
	uint64_t least = UINT64_MAX;

	for (int i = 0; i < NODES; i++) {
		if (nodes[i].place && nodes[i].key < least)
			least = nodes[i].key;
	}
	return least;
}

static void test_random_life(void **state)
{
	struct wbi_heap_node nodes[NODES] = {0};
	struct wbi_heap heap;
	uint32_t random = 3;

	(void)state;
	wbi_heap_init(&heap);
	for (int step = 0; step < 5000; step++) {
		struct wbi_heap_node *node = &nodes[next_random(&random) % NODES];
		struct wbi_heap_node *peek;

		if (node->place)
			wbi_heap_remove(&heap, node);
		else
			assert_int_equal(wbi_heap_add(&heap, node, next_random(&random) % 1000),
					 WB_OK);
		check_heap(&heap);
		peek = wbi_heap_peek(&heap);
		assert_int_equal(peek ? peek->key : UINT64_MAX, least_key(nodes));
	}
	wbi_heap_done(&heap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_sorts),
		cmocka_unit_test(test_extreme_keys),
		cmocka_unit_test(test_random_life),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
