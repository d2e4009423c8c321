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

enum tg_measure {
	TG_MEASURE_CONCURRENT, /* handshake finished, not gone */
	TG_MEASURE_HALF_OPEN,
	TG_MEASURE_NEW, /* flows begun, in a window */
	TG_MEASURE_TIME_WAIT,
	TG_MEASURE_CLOSE_WAIT,
	TG_MEASURE_FIN_WAIT,
	TG_MEASURE_LAST_ACK,
	TG_MEASURE_IDLE,    /* established, and no payload for tg_config.idle_after_ms */
	TG_MEASURE_FAILED,  /* handshakes begun and never finished, in a window */
	TG_MEASURE_FAN_OUT, /* destinations that this host has a SYN under way to */
	TG_MEASURE_COUNT
};

/* What stands behind a count, at best. */
enum tg_evidence {
	TG_EVIDENCE_FORGEABLE,   /* SYNs alone: anybody can send them in anybody's name. Never a
				    drop, whatever a witness says */
	TG_EVIDENCE_WITNESSABLE, /* finished handshakes, as conntrack sees them, which can be
				    forged, too: a drop needs the sockets to prove it */
	TG_EVIDENCE_OWN          /* this host's own packets */
};
enum tg_evidence tg_measure_evidence(enum tg_measure measure);
/* Counts flows in a window (threshold per window_ms, burst), not flows that there are. */
bool tg_measure_is_rate(enum tg_measure measure);

/* In order of strength. Beyond a rate-limit each waits for a witness where the evidence can be
 * forged.
 */
enum tg_action {
	TG_ACTION_OBSERVE,
	TG_ACTION_SYNPROXY, /* of a total: the kernel answers SYNs in the service's stead, and wakes
			       it when a client has shown that it is no forgery */
	TG_ACTION_RATE_LIMIT, /* SYNs over a rate of the source's own are dropped */
	TG_ACTION_CAP,        /* SYNs are dropped while the source has so many flows as it may */
	TG_ACTION_REJECT,     /* answered by a TCP reset */
	TG_ACTION_DROP,
	TG_ACTION_COUNT
};

/* What a ban holds back. */
enum tg_scope {
	TG_SCOPE_NEW,        /* SYNs without ACK, to the policy's ports (by hand: to any port) */
	TG_SCOPE_PORTS,      /* every packet to the policy's ports */
	TG_SCOPE_EVERYTHING, /* every packet from the source, also replies to this host's own
				connections */
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
#define TG_LADDERS_MAX 64
#define TG_STEPS_MAX 16 /* of one ladder */
#define TG_MIN_HOSTS_MAX 4096

/* What follows from one offence. */
struct tg_step {
	enum tg_action action;
	enum tg_scope scope; /* of OBSERVE, SYNPROXY, RATE_LIMIT and CAP: NEW */
	bool kill;           /* ends the connections that the source has; of REJECT and DROP */
	/* SYNs that still pass; per second, minute, hour, day or week exactly, whatever the file
	 * says: units of nft. Of CAP, REJECT and DROP: as long as no witness has proven the source.
	 * Of OBSERVE and SYNPROXY: none. */
	struct tg_rate to;
	uint32_t cap; /* of CAP: flows at once; else 0 */
	uint64_t expire_ms;
};

struct tg_limit {
	const char *name;
	enum tg_measure measure;
	uint32_t threshold; /* crossed when the measure is greater */
	uint32_t window_ms; /* of a rate: threshold flows in this time; else 0 */
	uint32_t burst;     /* of a rate: so many more at once are not an offence yet */
	bool total;         /* the policy's whole traffic is one source; prefix_len is unused.
			       Always so of FAN_OUT */
	uint8_t prefix_len[TG_FAMILY_COUNT]; /* what is counted as one source */
	uint16_t min_hosts; /* a source is held responsible only when so many distinct addresses
			       (IPv6: /64) of it have a flow; 0: any */
	/* First, second, third … offence; the last one also stands for all that follow. At
	 * least one. Of a limit that names an action itself: that one. */
	const struct tg_step *steps;
	size_t step_count;
	uint64_t forget_ms; /* after the end of a ban its offence no longer counts; 0: at once */
	const char *ladder; /* its name; NULL: the limit names an action itself */
	enum tg_mode mode;  /* effective: limit, policy, host, in this order */
	const char *file;   /* where it stands, for explain */
	uint32_t line;
};

struct tg_port_range {
	uint16_t first, last; /* host byte order, both included */
};

/*
 * What a service offers a client when it answers a SYN. SYNPROXY answers before it knows the
 * service's own answer, so that it has to be the same.
 */
struct tg_syn_options {
	uint16_t mss[TG_FAMILY_COUNT]; /* octets */
	uint8_t window_scale;          /* of RFC 7323; TG_WINDOW_SCALE_MAX at most */
	bool timestamps, sack;
};
#define TG_WINDOW_SCALE_MAX 14
#define TG_MSS_MIN 536

struct tg_policy {
	const char *name;
	const struct tg_port_range *ports; /* sorted, disjoint; none: every port */
	size_t port_count;
	const struct tg_prefix
		*addresses; /* of this side, as the client sees it; none: every address */
	size_t address_count;
	/* As the policy says; NULL: as the host's own sockets that listen there do. */
	const struct tg_syn_options *syn_options;
	const struct tg_limit *limits;
	size_t limit_count;
};

/*
 * So many bans at once are a mistake of the policy, or a NAT, and no attack: what is beyond stays a
 * rate-limit. Of bans by policies that do more than that. 0: no brake.
 */
struct tg_brakes {
	uint32_t bans_per_minute;
	uint32_t share_of_sources; /* of those that are counted now, in thousandths */
	uint32_t share_of_flows;   /* of the established ones; one that has more is no attacker
				      but many people's address. In thousandths */
};

struct tg_config {
	enum tg_mode mode;
	uint32_t max_sources; /* of each family */
	bool sources_given;   /* max_sources is the policy's; else tg_engine_fitting_sources() */
	uint32_t max_flows;
	uint32_t max_bans;
	struct tg_brakes brakes;
	/* Whose established connections are sessions of admins. None: nobody's. */
	const uint16_t *admin_ports; /* host byte order, ascending */
	size_t admin_port_count;
	/* Where drops stand, beside prerouting: the ingress of these interfaces. */
	const char *const *ingress;
	size_t ingress_count;
	bool all_events;        /* the kernel tells more than the limits need: others may need it */
	uint64_t idle_after_ms; /* without payload for so long, an established flow is idle */
	const struct tg_prefix *allow; /* as written, lists expanded; may overlap */
	size_t allow_count;
	const struct tg_policy *policies; /* by name, in the order of the files */
	size_t policy_count;
	const char *const *files; /* every file read, in order */
	size_t file_count;
};

#define TG_MAX_SOURCES_DEFAULT 262144
#define TG_MAX_FLOWS_DEFAULT 1000000
#define TG_MAX_BANS_DEFAULT 106496
#define TG_MAX_BANS_MAX 1048576
#define TG_INTERFACES_MAX 64
#define TG_ADMIN_PORTS_MAX 16
#define TG_ADMIN_PORT_DEFAULT 22
#define TG_BRAKES_DEFAULT ((struct tg_brakes){.bans_per_minute = 1000, .share_of_sources = 250})
/* Few sources are no crowd: below so many bans, no share of the sources is too large. */
#define TG_BRAKE_SHARE_LEAST 16
#define TG_IDLE_AFTER_MS_DEFAULT 60000
/* Of a drop that waits for its witness, when no step before it names another. */
#define TG_UNPROVEN_RATE ((struct tg_rate){.count = 5, .per_ms = 1000})

/*
 * Reads path, then policies.d beside it (*.yaml, names in C order), then the lists
 * they name, looked for beside path. instead, if not NULL, is checked in the place
 * of a file of that set: see docs/policy.md, "Checking a file before it is installed".
 * NULL when anything is wrong: then diag has at least one entry. Out of memory is an entry, too.
 */
struct tg_config *tg_config_load(const char *path, const char *instead, struct tg_diag *diag);
/*
 * The same set as it would be if the file `as` held what `file` holds: the main file, a drop-in,
 * which need not be there yet, or a list. Errors and tg_config.files name `as`; a file that the set
 * does not read is an error.
 */
struct tg_config *tg_config_load_as(const char *path, const char *as, const char *file,
				    struct tg_diag *diag);
void tg_config_destroy(struct tg_config *config);

/*
 * What a config says, key by key, in the words of the policy's language: equal when two do the
 * same. A key may come several times, as of a list. Not the policies and the allow list, which have
 * calls and fields of their own.
 */
typedef void tg_setting_fn(void *data, const char *section, const char *key, const char *value);
void tg_config_describe(const struct tg_config *config, tg_setting_fn *fn, void *data);
void tg_policy_describe(const struct tg_policy *policy, tg_setting_fn *fn, void *data);

/* Is the policy about traffic to this address and port of this side? */
bool tg_policy_holds(const struct tg_policy *policy, const struct tg_addr *addr, uint16_t port);
/* Does any limit of any policy measure this? */
bool tg_config_measures(const struct tg_config *config, enum tg_measure measure);
/*
 * What the limits on a policy's flows need to be told of, beyond that a flow has begun, has
 * finished its handshake, and is gone. Also those of other policies on one of the same ports.
 */
struct tg_follows {
	bool answers; /* how far a handshake is that is not finished */
	bool closing; /* every state: how connections close, too */
};
struct tg_follows tg_config_follows(const struct tg_config *config, size_t policy);
/* Is it told of every flow how it closes? */
bool tg_config_follows_closing(const struct tg_config *config);
/*
 * Does a ban of this limit go into such a set of the kernel, at some step? A drop also goes into
 * that of its rate-limit, where it waits for the witness.
 */
bool tg_limit_uses_scope(const struct tg_limit *limit, enum tg_scope scope);

/* Does any step of it do more than observe? */
bool tg_limit_acts(const struct tg_limit *limit);
/* Does any step of it do this? */
bool tg_limit_has(const struct tg_limit *limit, enum tg_action action);
/* Does any limit of it let the kernel answer in the service's stead? */
bool tg_policy_has_synproxy(const struct tg_policy *policy);
/* Does any of its policies? */
bool tg_config_has_synproxy(const struct tg_config *config);

/*
 * Does it stand in the packet path, too, where SYNs are counted by source? Only what can be told
 * from a SYN alone: `new`, by source, whoever in it has sent it.
 */
bool tg_limit_has_fuse(const struct tg_limit *limit);
/* The SYNs of a source over it that still pass there: what its first, unproven ban lets pass.
 * False: all of them, because that ban only observes. */
bool tg_limit_fuse_passes(const struct tg_limit *limit, struct tg_rate *ret_rate);

const char *tg_mode_name(enum tg_mode mode);
const char *tg_measure_name(enum tg_measure measure);
const char *tg_action_name(enum tg_action action);
const char *tg_scope_name(enum tg_scope scope);

#endif
