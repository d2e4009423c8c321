/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns the way from a state file back to bans. Reads it twice: once to find the last good line
 * about each ban, once for those lines, so that memory is a few bytes for each line.
 */
#include "state_load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <tcpguard/units.h>

#include "base/cleanup.h"
#include "base/siphash.h"
#include "base/util.h"
#include "state_line.h"

/* Far beyond a million bans and as many changes. */
#define FILE_MAX (UINT64_C(1) << 30)

struct place {
	uint64_t key; /* hash of policy, scope and source: 64 bits do not meet by chance */
	uint64_t at;  /* offset of the line */
};

struct places {
	struct place *items;
	size_t count, capacity;
};

static uint64_t key_of(const struct tg_adopt *ban)
{
	static const uint8_t key[16] = {0};
	uint8_t bytes[TG_NAME_MAX + 1 + 16 + 3] = {0};
	memcpy(bytes, ban->policy, strlen(ban->policy));
	memcpy(bytes + TG_NAME_MAX + 1, ban->source.addr.bytes, 16);
	bytes[TG_NAME_MAX + 17] = ban->source.addr.family;
	bytes[TG_NAME_MAX + 18] = ban->source.len;
	bytes[TG_NAME_MAX + 19] = (uint8_t)ban->scope;
	return tg_siphash13(key, bytes, sizeof(bytes));
}

static int place_compare(const void *a, const void *b)
{
	const struct place *x = a, *y = b;
	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return (x->at > y->at) - (x->at < y->at);
}

static int by_offset(const void *a, const void *b)
{
	const struct place *x = a, *y = b;
	return (x->at > y->at) - (x->at < y->at);
}

/* The line at `at` as a text of its own. False: longer than any. *ret_next is behind it. */
static bool copy_line(const char *bytes, size_t size, size_t at, char text[static STATE_LINE_MAX],
		      size_t *ret_next)
{
	const char *end = memchr(bytes + at, '\n', size - at);
	const size_t len = end ? (size_t)(end - bytes) - at : size - at;
	*ret_next = at + len + (end != NULL);
	if (len >= STATE_LINE_MAX || memchr(bytes + at, '\0', len))
		return false;
	memcpy(text, bytes + at, len);
	text[len] = '\0';
	return true;
}

static int add_place(struct places *places, uint64_t key, size_t at)
{
	if (places->count == places->capacity) {
		const size_t capacity = places->capacity ? 2 * places->capacity : 4096;
		struct place *items = reallocarray(places->items, capacity, sizeof(*items));
		if (!items)
			return -ENOMEM;
		places->items = items;
		places->capacity = capacity;
	}
	places->items[places->count++] = (struct place){.key = key, .at = at};
	return 0;
}

/* Where the good lines are. */
static int find_places(const char *bytes, size_t size, struct places *places,
		       struct state_loaded *loaded)
{
	char text[STATE_LINE_MAX];
	struct state_line line;
	for (size_t at = 0, next; at < size; at = next) {
		enum state_verdict verdict = STATE_DAMAGED;
		if (copy_line(bytes, size, at, text, &next))
			verdict = state_line_parse(text, &line);
		if (verdict == STATE_GOOD) {
			int err = add_place(places, key_of(&line.ban), at);
			if (err)
				return err;
		} else if (verdict == STATE_UNKNOWN) {
			loaded->unknown++;
		} else if (verdict == STATE_DAMAGED && bytes[next - 1] == '\n') {
			/* The last line without its end is one that was being written. */
			loaded->damaged++;
		}
	}
	return 0;
}

/* Only the last about each ban, in the order of the file. */
static void keep_last(struct places *places)
{
	size_t kept = 0;
	if (places->count == 0)
		return;
	qsort(places->items, places->count, sizeof(*places->items), place_compare);
	for (size_t i = 0; i < places->count; i++)
		if (i + 1 == places->count || places->items[i + 1].key != places->items[i].key)
			places->items[kept++] = places->items[i];
	places->count = kept;
	qsort(places->items, places->count, sizeof(*places->items), by_offset);
}

/* False: it means nothing any more. */
static bool settle(struct state_line *line, uint64_t wall_ms)
{
	struct tg_adopt *ban = &line->ban;
	if (line->kind == STATE_LIFT)
		return false;
	/* A clock that was set back makes no ban longer than it was meant. */
	const uint64_t length = line->until_ms - line->since_ms;
	ban->age_ms = wall_ms > line->since_ms ? wall_ms - line->since_ms : 0;
	if (line->until_ms > wall_ms) {
		ban->left_ms = MIN(MIN(line->until_ms - wall_ms, length), TG_DURATION_MAX_MS);
		return ban->left_ms > 0;
	}
	const uint64_t over = wall_ms - line->until_ms;
	ban->record = true;
	if (line->kind == STATE_RECORD || over >= line->forget_ms)
		return false;
	ban->left_ms = line->forget_ms - over;
	return true;
}

static void tell(const char *bytes, size_t size, const struct places *places, uint64_t wall_ms,
		 void (*found)(void *data, const struct tg_adopt *adopt), void *data,
		 struct state_loaded *loaded)
{
	char text[STATE_LINE_MAX];
	struct state_line line;
	size_t next;
	for (size_t i = 0; i < places->count; i++) {
		if (!copy_line(bytes, size, places->items[i].at, text, &next) ||
		    state_line_parse(text, &line) != STATE_GOOD || !settle(&line, wall_ms))
			continue;
		if (line.ban.record)
			loaded->records++;
		else
			loaded->bans++;
		found(data, &line.ban);
	}
}

int state_load(int fd, uint64_t wall_ms, void (*found)(void *data, const struct tg_adopt *adopt),
	       void *data, struct state_loaded *ret_loaded)
{
	struct state_loaded loaded = {0};
	struct places places = {0};
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -errno;
	*ret_loaded = loaded;
	if (st.st_size == 0)
		return 0;
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > FILE_MAX)
		return -EFBIG;
	const size_t size = (size_t)st.st_size;
	/* Read, not mapped: a file that somebody cuts short must not end the daemon. */
	_cleanup_free_ char *bytes = malloc(size);
	if (!bytes)
		return -ENOMEM;
	size_t have = 0;
	while (have < size) {
		ssize_t got = pread(fd, bytes + have, size - have, (off_t)have);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		have += (size_t)got;
	}
	int err = find_places(bytes, have, &places, &loaded);
	if (!err) {
		keep_last(&places);
		tell(bytes, have, &places, wall_ms, found, data, &loaded);
		*ret_loaded = loaded;
	}
	free(places.items);
	return err;
}
