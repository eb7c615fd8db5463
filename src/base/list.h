/* An intrusive doubly linked list. The head is a node of its own, so nothing is a special case. */
#ifndef WBI_LIST_H
#define WBI_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct wbi_list {
	struct wbi_list *next, *prev;
};

#define WBI_CONTAINER(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

static inline void wbi_list_init(struct wbi_list *head)
{
	head->next = head->prev = head;
}

static inline bool wbi_list_empty(const struct wbi_list *head)
{
	return head->next == head;
}

static inline void wbi_list_append(struct wbi_list *head, struct wbi_list *node)
{
	node->prev = head->prev;
	node->next = head;
	head->prev->next = node;
	head->prev = node;
}

/* Takes a node out of whatever list it is in, and leaves it a list of its own: safe to repeat. */
static inline void wbi_list_remove(struct wbi_list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	wbi_list_init(node);
}

#endif
