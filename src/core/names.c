/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The words that people read for our enums, each in one place. */
#include <inttypes.h>
#include <stdio.h>

#include <tcpguard/decision.h>

const char *tg_mode_name(enum tg_mode mode)
{
	switch (mode) {
	case TG_MODE_OBSERVE:
		return "observe";
	case TG_MODE_ENFORCE:
		return "enforce";
	}
	return "?";
}

const char *tg_measure_name(enum tg_measure measure)
{
	switch (measure) {
	case TG_MEASURE_CONCURRENT:
		return "concurrent";
	case TG_MEASURE_HALF_OPEN:
		return "half-open";
	case TG_MEASURE_NEW:
		return "new";
	case TG_MEASURE_TIME_WAIT:
		return "time-wait";
	case TG_MEASURE_CLOSE_WAIT:
		return "close-wait";
	case TG_MEASURE_FIN_WAIT:
		return "fin-wait";
	case TG_MEASURE_LAST_ACK:
		return "last-ack";
	case TG_MEASURE_IDLE:
		return "idle";
	case TG_MEASURE_FAILED:
		return "failed";
	case TG_MEASURE_FAN_OUT:
		return "fan-out";
	case TG_MEASURE_COUNT:
		break;
	}
	return "?";
}

const char *tg_action_name(enum tg_action action)
{
	switch (action) {
	case TG_ACTION_OBSERVE:
		return "observe";
	case TG_ACTION_SYNPROXY:
		return "synproxy";
	case TG_ACTION_RATE_LIMIT:
		return "rate-limit";
	case TG_ACTION_CAP:
		return "cap";
	case TG_ACTION_REJECT:
		return "reject";
	case TG_ACTION_DROP:
		return "drop";
	case TG_ACTION_COUNT:
		break;
	}
	return "?";
}

const char *tg_scope_name(enum tg_scope scope)
{
	switch (scope) {
	case TG_SCOPE_NEW:
		return "new";
	case TG_SCOPE_PORTS:
		return "ports";
	case TG_SCOPE_EVERYTHING:
		return "everything";
	case TG_SCOPE_COUNT:
		break;
	}
	return "?";
}

const char *tg_origin_name(enum tg_origin origin)
{
	switch (origin) {
	case TG_ORIGIN_AUTO:
		return "auto";
	case TG_ORIGIN_OPERATOR:
		return "operator";
	case TG_ORIGIN_COUNT:
		break;
	}
	return "?";
}

const char *tg_ban_to_format(const struct tg_ban *ban, char buf[static TG_RATE_STRLEN])
{
	if (ban->action == TG_ACTION_RATE_LIMIT)
		return tg_rate_format(&ban->to, buf);
	if (ban->action != TG_ACTION_CAP)
		return NULL;
	(void)snprintf(buf, TG_RATE_STRLEN, "%" PRIu32, ban->to.count);
	return buf;
}

const char *tg_feed_step_name(enum tg_feed_step step)
{
	switch (step) {
	case TG_FEED_ALL:
		return "all";
	case TG_FEED_NO_UPDATES:
		return "no-updates";
	case TG_FEED_NEW:
		return "new";
	case TG_FEED_NOTHING:
		return "nothing";
	case TG_FEED_STEP_COUNT:
		break;
	}
	return "?";
}

const char *tg_tcp_state_name(enum tg_tcp_state state)
{
	switch (state) {
	case TG_TCP_SYN_SENT:
		return "syn-sent";
	case TG_TCP_SYN_RECV:
		return "syn-recv";
	case TG_TCP_ESTABLISHED:
		return "established";
	case TG_TCP_FIN_WAIT:
		return "fin-wait";
	case TG_TCP_CLOSE_WAIT:
		return "close-wait";
	case TG_TCP_LAST_ACK:
		return "last-ack";
	case TG_TCP_TIME_WAIT:
		return "time-wait";
	case TG_TCP_CLOSE:
		return "close";
	case TG_TCP_UNKNOWN:
		return "unknown";
	}
	return "?";
}

const char *tg_protect_kind_name(enum tg_protect_kind kind)
{
	switch (kind) {
	case TG_PROTECT_OWN:
		return "an address of this host";
	case TG_PROTECT_LOOPBACK:
		return "loopback";
	case TG_PROTECT_LINK_LOCAL:
		return "link-local";
	case TG_PROTECT_MULTICAST:
		return "multicast";
	case TG_PROTECT_GATEWAY:
		return "a gateway of this host";
	case TG_PROTECT_RESOLVER:
		return "a resolver of this host";
	case TG_PROTECT_ALLOWED:
		return "on the allow list";
	case TG_PROTECT_ADMIN:
		return "in a live session of an admin";
	case TG_PROTECT_KIND_COUNT:
		break;
	}
	return "?";
}

const char *tg_cause_name(enum tg_cause cause)
{
	switch (cause) {
	case TG_CAUSE_NONE:
		return "";
	case TG_CAUSE_OFFENCE:
		return "offence";
	case TG_CAUSE_OPERATOR:
		return "operator";
	case TG_CAUSE_EXTENDED:
		return "extended";
	case TG_CAUSE_INSISTS:
		return "insists";
	case TG_CAUSE_WITNESSED:
		return "witnessed";
	case TG_CAUSE_AGAIN:
		return "again";
	case TG_CAUSE_EXPIRED:
		return "expired";
	case TG_CAUSE_UNBAN:
		return "unban";
	case TG_CAUSE_RELOAD:
		return "reload";
	case TG_CAUSE_PANIC:
		return "panic";
	case TG_CAUSE_PROTECTED:
		return "protected";
	case TG_CAUSE_EVICTED:
		return "evicted";
	case TG_CAUSE_TABLE_FULL:
		return "table-full";
	case TG_CAUSE_NOT_FOUND:
		return "not-found";
	case TG_CAUSE_PANIC_MODE:
		return "panic-mode";
	case TG_CAUSE_FLOOD:
		return "flood";
	case TG_CAUSE_BRAKE_RATE:
		return "brake-rate";
	case TG_CAUSE_BRAKE_SOURCES:
		return "brake-sources";
	case TG_CAUSE_BRAKE_FLOWS:
		return "brake-flows";
	case TG_CAUSE_COUNT:
		break;
	}
	return "?";
}
