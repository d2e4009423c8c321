/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef LAYOUT_LAYOUT_H
#define LAYOUT_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tcpguard/ban.h>
#include <tcpguard/units.h>

struct tg_prefix_set;

/*
 * What the table `inet tcpguard` looks like for a config: sets, chains and rules as data, from
 * which the kernel's messages are made, and nft's text.
 */
#define LAYOUT_TABLE "tcpguard"

/* "NAME-reject.everything-ip6-128" and more. */
#define LAYOUT_NAME_MAX 80

#define LAYOUT_PRE \
	(-300) /* priority: before conntrack (-200), so that a drop costs nothing there */
#define LAYOUT_TRACK (-150) /* after it */
/*
 * SYNPROXY answers behind the host's own filter (priority 0), so that it answers nobody whom that
 * keeps out; and it takes the client's answer ahead of it, because to that such a packet is
 * invalid: it can only be had by who was answered.
 */
#define LAYOUT_PROOF (-10)
#define LAYOUT_ANSWERS 10

/* An element that came without its own end goes away by itself. */
#define LAYOUT_TIMEOUT_MS 600000

/*
 * What the rules do with who is in a set. One ban is in one of them at a time; which, its action
 * says.
 */
enum layout_form {
	LAYOUT_DROP,     /* drop, or what the element's own limit says */
	LAYOUT_REJECT,   /* TCP reset; what is not TCP is dropped */
	LAYOUT_CAP,      /* drop of new connections beyond a number at once */
	LAYOUT_BUDGET,   /* drop of a policy's SYNs beyond what the one element's own limit says */
	LAYOUT_SYNPROXY, /* the kernel answers a policy's SYNs */
	LAYOUT_VERIFIED, /* no ban: who passes by both, as far as the element's own limit lets it */
	LAYOUT_FORM_COUNT
};
enum layout_form layout_form(enum tg_action action);

/*
 * The state of a service is no address: the key of its set is the protocol, which is TCP. In the
 * place of a family.
 */
#define LAYOUT_NO_FAMILY TG_FAMILY_COUNT

/*
 * A chain that nothing leads to, with a rule of SYNPROXY. As long as there is one, the kernel goes
 * on translating the timestamps of connections that it has answered for; without, they would break
 * with the policy that wanted it. So it stays for as long as the table does.
 */
#define LAYOUT_KEEPER "proxied"

/*
 * Whoever was answered a moment before SYNPROXY ends still finishes with it: within this, a
 * client's third try.
 */
#define LAYOUT_PROXIED_MS 15000

/* So long a source is known that has shown that it is no forgery. */
#define LAYOUT_VERIFIED_MS 600000
#define LAYOUT_VERIFIED_LEN(family) ((uint8_t)((family) == TG_IPV4 ? 32 : 64))

/* A set of bans: one policy (or the hand), scope, form, family and prefix length. */
struct layout_set {
	char name[LAYOUT_NAME_MAX];
	/* The set that its rules write to: of a cap, where connections are counted; of SYNPROXY,
	 * where it is noted that SYNs were answered. Else empty. */
	char counts[LAYOUT_NAME_MAX];
	uint16_t policy;    /* index into the config, or TG_NO_INDEX */
	uint8_t scope;      /* enum tg_scope */
	uint8_t form;       /* enum layout_form */
	uint8_t family;     /* or LAYOUT_NO_FAMILY, of a service's state */
	uint8_t prefix_len; /* of a service's state: TG_TOTAL_LEN */
	uint16_t cap;       /* of a cap: connections at once */
	uint16_t limit;     /* of a service's state: index into the policy's limits; else 0 */
	bool present;       /* the kernel has it, and the rules that look into it */
};

/* Packets that pass: so many at once, and again as many as the rate says. Never less than that. */
struct layout_pace {
	struct tg_rate rate;
	uint32_t burst;
};

/* What is logged: a word, POLICY/LIMIT, and of a source what the limit is: "100/10000 50". */
#define LAYOUT_LOG_MAX 128

/*
 * The fuse of a limit, for one family: three sets that rules fill. No element of them is a ban, and
 * all go by themselves, within seconds. Who is noted goes before his count does, so that there are
 * never more noted than metered: as large as the meter, that set is never full.
 */
struct layout_fuse {
	uint16_t policy, limit; /* indexes into the config */
	uint8_t family, prefix_len;
	bool drops;                    /* else it only tells */
	struct layout_pace over;       /* SYNs of a source beyond this */
	struct layout_pace to;         /* that pass of one that was over it */
	struct layout_pace spill_over; /* of a bucket that sources without room share */
	char fused[LAYOUT_NAME_MAX], meter[LAYOUT_NAME_MAX], spill[LAYOUT_NAME_MAX];
	/* What is logged: of a source over it; that there was no room. */
	char tells[LAYOUT_LOG_MAX], tells_full[LAYOUT_LOG_MAX];
	bool present;
};
/*
 * A client that nobody answers sends its SYN again, after a second and more; conntrack takes that
 * for the same flow, and so must a fuse. Its policy's chain remembers for so long which connections
 * have had a SYN that passed; one more in half a second is no new one.
 */
#define LAYOUT_RETRY_MS 16000
#define LAYOUT_RETRY_SIZE 262144u
#define LAYOUT_METER_MS 5000
#define LAYOUT_FUSED_MS 3000
#define LAYOUT_METER_SIZE 262144u
#define LAYOUT_SPILL_BUCKETS 65536u
/* The group of NFLOG that all of it goes to; nobody else's, by its look. */
#define LAYOUT_LOG_GROUP 29799 /* "tg" */
#define LAYOUT_LOG_FUSE "fuse "
#define LAYOUT_LOG_FULL "full "

/* Of a rate: so many in so many seconds, which is a second, minute, hour, day or week. */
void layout_pace_units(const struct tg_rate *rate, uint64_t *ret_count, uint64_t *ret_unit_s);

/* A set of all prefixes of that length that hold a protected or an allowed address. */
#define LAYOUT_NEAR_MAX 16
struct layout_near {
	enum tg_family family;
	uint8_t prefix_len;
	char name[LAYOUT_NEAR_MAX];
};

struct layout {
	const struct tg_config *config;            /* borrowed */
	const struct tg_prefix_set *protected_set; /* borrowed; may be NULL */
	const struct tg_prefix_set *allow;         /* borrowed; may be NULL */
	/* Of each policy, what SYNPROXY answers with; borrowed. NULL: as on a plain host. */
	const struct tg_syn_options *syn_options;
	uint32_t set_size;
	bool no_ingress;         /* the kernel cannot: prerouting has to do */
	bool no_synproxy;        /* nor that: nothing has to do */
	bool keeps_synproxy;     /* a table before this one had it: see LAYOUT_KEEPER */
	struct layout_set *sets; /* those of policies first, in the order of the config */
	size_t count, capacity;
	bool observes; /* the whole host, whatever the config says: no fuse drops */
	bool no_fuse;  /* the kernel cannot */
	struct layout_fuse *fuses;
	size_t fuse_count;
};

/* 0, -ENOMEM, or -EINVAL for a policy with the name of the hand. */
int layout_init(struct layout *layout, const struct tg_config *config,
		const struct tg_prefix_set *protected_set, const struct tg_prefix_set *allow,
		uint32_t set_size);
void layout_finish(struct layout *layout);

/*
 * The set that a ban belongs to: its index. Sets of bans by hand, and of single addresses of a
 * policy that counts wider prefixes, are added when they are first asked for, absent from the
 * kernel. -ENOENT when no limit of the policy makes such bans; -ENOMEM.
 */
int layout_find(struct layout *layout, const struct tg_ban *ban, size_t *ret_index);
/* The same by name. */
int layout_find_name(struct layout *layout, const char *name, size_t *ret_index);
/* The set of those who pass by the policy's budgets. -ENOENT: it has none. */
int layout_find_verified(struct layout *layout, uint16_t policy, enum tg_family family,
			 size_t *ret_index);
/* fuse.c */
int layout_fuses_init(struct layout *layout);
void layout_fuses_finish(struct layout *layout);
/* As if no limit had one. */
void layout_fuses_omit(struct layout *layout);
bool layout_has_fuses(const struct layout *layout, uint16_t policy);
/* Does what stands in the sets of the one mean the same in those of the other? */
bool layout_fuse_is_same(const struct layout_fuse *a, const struct layout_fuse *b);
/* One of its three sets has this name. */
bool layout_fuse_find(const struct layout *layout, const char *name, size_t *ret_index);
/* Of a policy that has fuses: the set of connections that have had a SYN. */
void layout_retry_name(const struct layout *layout, uint16_t policy, enum tg_family family,
		       char name[static LAYOUT_NAME_MAX]);
bool layout_has_retry(const struct layout *layout, const char *name, enum tg_family *ret_family);
/* The key of such a set: both addresses and ports. */
uint32_t layout_retry_key_len(enum tg_family family);
/* Those that the fuses ask for; a cursor that is 0 at first. */
bool layout_next_near(const struct layout *layout, size_t *at, struct layout_near *ret_near);
bool layout_is_near_name(const char *name, struct layout_near *ret_near);
bool layout_has_near(const struct layout *layout, const char *name);
/* NULL when memory runs out. */
struct tg_prefix_set *layout_near_create(const struct layout *layout,
					 const struct layout_near *near);

/* Bytes of a key. */
uint32_t layout_key_len(const struct layout_set *set);
/*
 * Another set in which the same ban may have been before its action changed: from index *at on,
 * which moves behind it. False: there is none.
 */
bool layout_next_sibling(const struct layout *layout, size_t index, size_t *at, size_t *ret_index);

/* What the name of a set says about the bans in it. ret_policy: empty for bans by hand. */
bool layout_parse_name(const char *name, char ret_policy[static TG_NAME_MAX + 1],
		       struct layout_set *ret_set);
/* The set is one that rules write to: ret_set is whose. */
bool layout_parse_counts(const char *name, struct layout_set *ret_set);
/* Its elements go after LAYOUT_PROXIED_MS; those of a cap go with their connections. */
bool layout_counts_expire(const struct layout_set *set);

/* What the kernel tells of new flows to the policy: bits of enum ip_conntrack_events. */
uint32_t layout_events(const struct tg_config *config, size_t policy);

/* The base chains, and the sets of addresses, which every table has. */
bool layout_has_chain(const struct layout *layout, const char *name);
bool layout_is_base_chain(const char *name);
bool layout_is_ingress_chain(const char *name);
/* What SYNPROXY answers for a policy. */
struct tg_syn_options layout_syn_options(const struct layout *layout, uint16_t policy);
bool layout_is_address_set(const char *name, enum tg_family *ret_family);
const char *layout_own_set(enum tg_family family);
const char *layout_allow_set(enum tg_family family);

enum layout_hook {
	LAYOUT_NO_HOOK,
	LAYOUT_PREROUTING,
	LAYOUT_INGRESS, /* of the config's interfaces */
	LAYOUT_INPUT,
	LAYOUT_FORWARD
};
struct layout_chain {
	const char *name;
	enum layout_hook hook;
	int priority;
};
void layout_each_chain(const struct layout *layout,
		       void (*chain)(void *data, const struct layout_chain *chain), void *data);

enum layout_verdict {
	LAYOUT_CONTINUE,
	LAYOUT_ACCEPT,
	LAYOUT_RETURN, /* to the chain that jumped here */
	LAYOUT_VERDICT_DROP,
	LAYOUT_RESET, /* reject with a TCP reset */
	LAYOUT_JUMP,
	LAYOUT_NOTRACK, /* conntrack does not see it; the packet goes on */
	LAYOUT_ANSWER   /* by SYNPROXY */
};

/* One rule: what it matches, in this order, and what follows. Zero matches everything. */
struct layout_rule {
	const char *chain;
	bool outside; /* did not come by loopback */
	bool tcp;
	bool ct_new; /* with counts behind them: they count connections that are not new, too */
	bool syn;    /* and neither ACK nor RST nor FIN */
	bool ack;    /* and neither SYN nor RST */
	const struct tg_policy *ports;            /* its ports; NULL or none: any */
	const struct tg_prefix_set *destinations; /* of family; NULL: any */
	bool ct_original;                         /* from who opened the connection */
	bool ct_stray;                            /* of no connection that is tracked */
	bool ct_looks;                            /* conntrack was not told to look away */
	bool ct_untracked;                        /* conntrack was told not to look */
	/* A set's elements count what is looked up in them: nearly all matches come before. */
	enum tg_family family; /* of destinations and source */
	const char *source;    /* the set that holds it; NULL: any */
	uint8_t prefix_len;    /* of the source; TG_TOTAL_LEN: the set's key is the protocol */
	const char *known;     /* the set that holds its connection, to which that is no news yet */
	const char *not_source;         /* nor this set; NULL: as it may be */
	const struct layout_pace *pace; /* no more often */
	/* SYNs over this, of the source, counted in that set; or of one of so many buckets. */
	const char *meter;
	const struct layout_pace *meter_over;
	uint32_t buckets;
	const char *not_near; /* nor near a protected or allowed address: a set of prefixes */
	bool spared;          /* not if the source's address is protected or allowed */
	const char *counts;   /* over `over` connections of the source, counted in this set */
	uint16_t over;
	const char *notes;  /* the protocol goes into this set, or stays there for its time anew */
	uint32_t ct_events; /* sets the mask of events */
	const struct tg_syn_options *answer; /* of LAYOUT_ANSWER, to that family */
	const char *log;                     /* to LAYOUT_LOG_GROUP, with this in front */
	/* The source goes into that set, as an element that matches over this. */
	const char *adds;
	const struct layout_pace *adds_over;
	const char *knows; /* its connection goes into that set */
	enum layout_verdict verdict;
	const char *jump;
	bool first; /* ahead of the chain's other rules, and not behind them */
};
typedef void layout_rule_fn(void *data, const struct layout_rule *rule);

/* fuse.c: those of a policy's fuses, into its chain. */
void layout_fuse_rules(const struct layout *layout, uint16_t policy, const char *chain,
		       layout_rule_fn *rule, void *data);
/* A connection sends no SYN more often. */
extern const struct layout_pace layout_retry_pace;

/* Every rule, each chain's in order. False: out of memory, and not all were told. */
bool layout_each_rule(const struct layout *layout, layout_rule_fn *rule, void *data);
/* Those that look into one set of bans: for a set that comes later. */
void layout_each_set_rule(const struct layout *layout, size_t index, layout_rule_fn *rule,
			  void *data);

#endif
