/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TCPGUARD_CONFIG_H
#define TCPGUARD_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tcpguard/addr.h>
#include <tcpguard/units.h>

struct tg_diag;

/*
 * What the policy files say, checked and resolved: defaults are filled in and
 * lists are expanded, so that a reader of this struct needs no rule of the file
 * format. One object, one arena, never edited after it was loaded.
 */

enum tg_mode { TG_MODE_OBSERVE, TG_MODE_ENFORCE };

enum tg_measure { TG_MEASURE_CONCURRENT, TG_MEASURE_HALF_OPEN, TG_MEASURE_NEW, TG_MEASURE_COUNT };

/* In order of strength. */
enum tg_action { TG_ACTION_RATE_LIMIT, TG_ACTION_DROP, TG_ACTION_COUNT };

/* What a ban holds back. */
enum tg_scope {
	TG_SCOPE_NEW,        /* SYNs without ACK, to the policy's ports (by hand: to any port) */
	TG_SCOPE_PORTS,      /* every packet to the policy's ports */
	TG_SCOPE_EVERYTHING, /* every packet from the source; only by hand */
	TG_SCOPE_COUNT
};

/* A set of the kernel is named after the policy, so that the name must be an identifier for nft,
 * too. */
#define TG_NAME_MAX 32
/* Not for a policy: the sets of bans by hand are called so. */
#define TG_NAME_HAND "hand"
#define TG_POLICIES_MAX 64
#define TG_LIMITS_MAX 32     /* of one policy */
#define TG_PORTS_MAX 256     /* ranges of one policy */
#define TG_ADDRESSES_MAX 256 /* of one policy's match */

struct tg_limit {
	const char *name;
	enum tg_measure measure;
	uint32_t threshold; /* crossed when the measure is greater */
	uint32_t window_ms; /* of TG_MEASURE_NEW: threshold flows in this time; else 0 */
	uint32_t burst;     /* of TG_MEASURE_NEW: so many more at once are not an offence yet */
	uint8_t prefix_len[TG_FAMILY_COUNT]; /* what is counted as one source */
	enum tg_action action;
	enum tg_scope scope; /* NEW or PORTS; follows from the action */
	struct tg_rate to;   /* of TG_ACTION_RATE_LIMIT: SYNs that still pass; per second, minute,
				hour, day or week exactly, whatever the file says: units of nft */
	uint64_t expire_ms;
	enum tg_mode mode; /* effective: limit, policy, host, in this order */
	const char *file;  /* where it stands, for explain */
	uint32_t line;
};

struct tg_port_range {
	uint16_t first, last; /* host byte order, both included */
};

struct tg_policy {
	const char *name;
	const struct tg_port_range *ports; /* sorted, disjoint; none: every port */
	size_t port_count;
	const struct tg_prefix
		*addresses; /* of this side, as the client sees it; none: every address */
	size_t address_count;
	const struct tg_limit *limits;
	size_t limit_count;
};

struct tg_config {
	enum tg_mode mode;
	uint32_t max_sources; /* of each family */
	uint32_t max_flows;
	const struct tg_prefix *allow; /* as written, lists expanded; may overlap */
	size_t allow_count;
	const struct tg_policy *policies; /* by name, in the order of the files */
	size_t policy_count;
	const char *const *files; /* every file read, in order */
	size_t file_count;
};

#define TG_MAX_SOURCES_DEFAULT 262144
#define TG_MAX_FLOWS_DEFAULT 1048576

/*
 * Reads path, then policies.d beside it (*.yaml, names in C order), then the lists
 * they name, looked for beside path. instead, if not NULL, is checked in the place
 * of a file of that set: see docs/policy.md, "Checking a file before it is installed".
 * NULL when anything is wrong: then diag has at least one entry. Out of memory is an entry, too.
 */
struct tg_config *tg_config_load(const char *path, const char *instead, struct tg_diag *diag);
void tg_config_destroy(struct tg_config *config);

/* Does any limit of any policy measure this? */
bool tg_config_measures(const struct tg_config *config, enum tg_measure measure);

const char *tg_mode_name(enum tg_mode mode);
const char *tg_measure_name(enum tg_measure measure);
const char *tg_action_name(enum tg_action action);
const char *tg_scope_name(enum tg_scope scope);

#endif
