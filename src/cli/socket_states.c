/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the states of sockets are called and what they mean to an operator. */
#include "socket_states.h"

#include <ctype.h>
#include <netinet/tcp.h>
#include <string.h>

#include "base/util.h"

/* Meanings have 46 columns, so that the table has 80. */
const struct socket_state socket_states[SOCKET_STATE_COUNT - 1] = {
	{TCP_LISTEN, TG_TCP_UNKNOWN, "listen", "LISTEN", "LISTEN", "takes connections"},
	{TCP_SYN_SENT, TG_TCP_SYN_SENT, "syn-sent", "SYN-SENT", "SYN-S",
	 "we call; a pile: an upstream is dead, or a worm"},
	{TCP_SYN_RECV, TG_TCP_SYN_RECV, "syn-recv", "SYN-RECV", "SYN-R",
	 "half-open; a pile: a flood, or a lossy path"},
	{TCP_ESTABLISHED, TG_TCP_ESTABLISHED, "established", "ESTABLISHED", "ESTAB",
	 "open; a pile: load, or peers that never leave"},
	{TCP_FIN_WAIT1, TG_TCP_FIN_WAIT, "fin-wait-1", "FIN-WAIT-1", "FIN-W1",
	 "we closed; a pile: peers or their path are gone"},
	{TCP_FIN_WAIT2, TG_TCP_UNKNOWN, "fin-wait-2", "FIN-WAIT-2", "FIN-W2",
	 "peer knows; a pile: peers that do not finish"},
	{TCP_CLOSING, TG_TCP_UNKNOWN, "closing", "CLOSING", "CLOSNG",
	 "both closed at once; a pile: a lossy path"},
	{TCP_TIME_WAIT, TG_TCP_TIME_WAIT, "time-wait", "TIME-WAIT", "TIME-W",
	 "over, kept for 60 s; a pile: we close first"},
	{TCP_CLOSE_WAIT, TG_TCP_CLOSE_WAIT, "close-wait", "CLOSE-WAIT", "CLOS-W",
	 "peer closed; a pile: our program forgets to"},
	{TCP_LAST_ACK, TG_TCP_LAST_ACK, "last-ack", "LAST-ACK", "LAST-A",
	 "both closed; a pile: peers or path are gone"},
	{TCP_CLOSE, TG_TCP_CLOSE, "close", "CLOSE", "CLOSE",
	 "none; in conntrack: reset or refused"},
};

/* What people write besides our names, without dashes. */
static const struct {
	const char *word;
	uint32_t mask;
} words[] = {
	{"estab", 1u << TCP_ESTABLISHED},    {"finwait", 1u << TCP_FIN_WAIT1 | 1u << TCP_FIN_WAIT2},
	{"synreceived", 1u << TCP_SYN_RECV}, {"listening", 1u << TCP_LISTEN},
	{"closed", 1u << TCP_CLOSE},
};

/* Equal but for case, dashes and underscores: FIN_WAIT2, fin-wait-2. */
static bool same_word(const char *text, size_t len, const char *word)
{
	for (;; text++, len--) {
		while (len > 0 && (*text == '-' || *text == '_'))
			text++, len--;
		while (*word == '-')
			word++;
		if (len == 0)
			return *word == '\0';
		if (tolower((unsigned char)*text) != *word++)
			return false;
	}
}

static uint32_t find_word(const char *text, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(socket_states); i++)
		if (same_word(text, len, socket_states[i].name))
			return 1u << socket_states[i].number;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (same_word(text, len, words[i].word))
			return words[i].mask;
	return 0;
}

const char *socket_states_parse(const char *text, uint32_t *ret_mask)
{
	uint32_t mask = 0;
	for (;;) {
		const size_t len = strcspn(text, ",");
		const uint32_t found = find_word(text, len);
		if (found == 0)
			return text;
		mask |= found;
		if (text[len] == '\0')
			break;
		text += len + 1;
	}
	*ret_mask = mask;
	return NULL;
}

bool socket_state_is_pile(unsigned number, uint64_t count, uint64_t total)
{
	switch (number) {
	case TCP_LISTEN:
	case TCP_ESTABLISHED:
	case TCP_CLOSE:
		return false;
	case TCP_TIME_WAIT: /* harmless, but for a host that runs out of ports or of buckets */
		return count >= 10000 && count * 2 >= total;
	}
	/* The others are passed through in moments: a fifth of a busy host's sockets is no chance.
	 */
	return count >= 100 && count * 5 >= total;
}
