package prom

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-mq/holdfast/client"
)

// prefix begins the name of every metric.
const prefix = "holdfast_client_"

// A metric has one or several values for each client.
type metric struct {
	name, help string
	kind       prometheus.ValueType
	labels     []string // besides client
	// collect calls emit with each value, and its labels in the order of labels.
	collect func(s *client.Stats, emit func(value float64, labels ...string))
}

// one returns a metric with one value.
func one(kind prometheus.ValueType, name, help string, value func(*client.Stats) float64) metric {
	return metric{name: name, help: help, kind: kind, collect: func(s *client.Stats, emit func(float64, ...string)) {
		emit(value(s))
	}}
}

func counter(name, help string, value func(*client.Stats) int) metric {
	return one(prometheus.CounterValue, name, help, func(s *client.Stats) float64 { return float64(value(s)) })
}

func gauge(name, help string, value func(*client.Stats) float64) metric {
	return one(prometheus.GaugeValue, name, help, value)
}

// perSubscription returns a metric with a value for each subscription.
func perSubscription(kind prometheus.ValueType, name, help string, value func(*client.SubscriptionStats) float64) metric {
	return metric{name: name, help: help, kind: kind, labels: []string{"subscription", "topic"},
		collect: func(s *client.Stats, emit func(float64, ...string)) {
			for i := range s.Subscriptions {
				sub := &s.Subscriptions[i]
				emit(value(sub), sub.ID, sub.Topic)
			}
		}}
}

func subCounter(name, help string, value func(*client.SubscriptionStats) int) metric {
	return perSubscription(prometheus.CounterValue, name, help, func(s *client.SubscriptionStats) float64 { return float64(value(s)) })
}

func subGauge(name, help string, value func(*client.SubscriptionStats) float64) metric {
	return perSubscription(prometheus.GaugeValue, name, help, value)
}

// flag is the value of a condition.
func flag(on bool) float64 {
	if on {
		return 1
	}
	return 0
}

// metrics are all metrics except the histogram.
var metrics = append(append(publishing, connecting...), subscribing...)

var publishing = []metric{
	counter("published_messages_total", "Messages that were stored in the publish store since it was opened.",
		func(s *client.Stats) int { return int(s.Publish.Outstanding.Appended) }),
	counter("safe_messages_total", "Messages that left the publish store because both servers have them on disk.",
		func(s *client.Stats) int { return int(s.Publish.Outstanding.Safe) }),
	counter("rejected_messages_total", "Messages that a server rejected.",
		func(s *client.Stats) int { return s.Publish.Rejected }),
	counter("sent_messages_total", "Messages written to a connection, each time that they were.",
		func(s *client.Stats) int { return s.Publish.Sent }),
	counter("resent_messages_total", "Messages written to a connection that may have been sent before.",
		func(s *client.Stats) int { return s.Publish.Resent }),
	gauge("outstanding_messages", "Messages in the publish store: not yet safe.",
		func(s *client.Stats) float64 { return float64(s.Publish.Outstanding.Messages) }),
	gauge("outstanding_bytes", "Size of the messages in the publish store.",
		func(s *client.Stats) float64 { return float64(s.Publish.Outstanding.Bytes) }),
	gauge("outstanding_single_messages", "Messages in the publish store that one server has acknowledged.",
		func(s *client.Stats) float64 { return float64(s.Publish.Outstanding.Single) }),
	gauge("oldest_outstanding_seconds", "Age of the oldest message in the publish store; 0 if it is empty.",
		func(s *client.Stats) float64 { return s.Publish.Outstanding.Oldest.Seconds() }),
	gauge("in_flight_messages", "Messages sent on the present connection that no server has acknowledged.",
		func(s *client.Stats) float64 { return float64(s.Publish.InFlight) }),
	gauge("downgraded", "1 while acks come from one server only.",
		func(s *client.Stats) float64 { return flag(s.Publish.Downgraded) }),
	counter("publish_gaps_total", "Logons given up because the server lacked acknowledged messages.",
		func(s *client.Stats) int { return s.Publish.GapRefusals }),
	counter("store_rollbacks_total", "Times that the publish store was found rolled back.",
		func(s *client.Stats) int { return s.Publish.Rollbacks }),
}

var connecting = []metric{
	{name: "connected", help: "1 for the server that the client is logged on to, 0 for the others that it knows.",
		kind: prometheus.GaugeValue, labels: []string{"server"}, collect: collectConnected},
	{name: "state", help: "1 for what the client does at the moment, 0 for the other states.",
		kind: prometheus.GaugeValue, labels: []string{"state"}, collect: collectState},
	one(prometheus.CounterValue, "offline_seconds_total", "Time without a server since Dial.",
		func(s *client.Stats) float64 { return s.Offline.Seconds() }),
	{name: "moves_total", help: "Logons on another server than before, by the reason why the client left that one.",
		kind: prometheus.CounterValue, labels: []string{"reason"}, collect: collectMoves},
	counter("failovers_total", "Moves that were neither the first logon nor a return to a preferred server.", failovers),
	counter("connect_attempts_total", "Attempts to connect.", func(s *client.Stats) int { return s.Attempts }),
	counter("logons_total", "Attempts to connect that a server accepted.", func(s *client.Stats) int { return s.Logons }),
	{name: "connection_failures_total", help: "Failed attempts to connect and lost connections.",
		kind: prometheus.CounterValue, labels: []string{"server"}, collect: collectFailures},
	counter("async_refusals_total", "Logons given up because subscriptions would have moved along an asynchronous path.",
		func(s *client.Stats) int { return s.AsyncRefusals }),
}

var subscribing = []metric{
	subCounter("delivered_messages_total", "Messages given to the application.",
		func(s *client.SubscriptionStats) int { return s.Delivered }),
	subGauge("queued_messages", "Messages in the queue of the subscription.",
		func(s *client.SubscriptionStats) float64 { return float64(s.Queued) }),
	subGauge("undiscarded_messages", "Messages in the queue or with the application that are not discarded.",
		func(s *client.SubscriptionStats) float64 { return float64(s.Outstanding) }),
	subCounter("duplicate_messages_total", "Messages received again and dropped.",
		func(s *client.SubscriptionStats) int { return s.Duplicates }),
	subCounter("dropped_messages_total", "Messages dropped because the application was slow (SlowDropOldest).",
		func(s *client.SubscriptionStats) int { return s.Dropped }),
	subCounter("subscription_pauses_total", "Times that the queue was full.",
		func(s *client.SubscriptionStats) int { return s.Pauses }),
	subCounter("subscription_gaps_total", "Ranges of messages that no server had any more.",
		func(s *client.SubscriptionStats) int { return s.Gaps }),
	subGauge("subscription_paused", "1 while the subscription is paused: more messages wait at the server.",
		func(s *client.SubscriptionStats) float64 { return flag(s.Paused) }),
	subGauge("subscription_held_back", "1 while the server holds messages back until they are safe.",
		func(s *client.SubscriptionStats) float64 { return flag(s.HeldBack) }),
	subCounter("handler_errors_total", "Times that the function of Handle returned an error.",
		func(s *client.SubscriptionStats) int { return s.HandlerErrors }),
	subCounter("handler_retries_total", "Times that Handle called its function again for a message.",
		func(s *client.SubscriptionStats) int { return s.Retries }),
	{name: "last_message_timestamp_seconds", help: "Server's time of the latest message given to the application; only with WithTime.",
		kind: prometheus.GaugeValue, labels: []string{"subscription", "topic"}, collect: collectLastTime},
}

func collectConnected(s *client.Stats, emit func(float64, ...string)) {
	on := s.State == client.StateLive || s.State == client.StateRecovering
	for _, server := range s.Servers {
		emit(flag(on && server.Server == s.Server.Server), server.Server)
	}
}

func collectState(s *client.Stats, emit func(float64, ...string)) {
	for state := client.StateConnecting; state <= client.StateClosed; state++ {
		emit(flag(s.State == state), state.String())
	}
}

// reasons are the values of client.Move.Reason. All of them are shown from the beginning, so that
// the first move is an increase.
var reasons = []string{
	client.MoveFirstLogon, client.MovePreferred, client.MoveServerStopping,
	client.MovePublishGap, client.MoveNameInUse, client.MoveConnectionLost,
}

func collectMoves(s *client.Stats, emit func(float64, ...string)) {
	for _, reason := range reasons {
		emit(float64(s.MoveReasons[reason]), reason)
	}
}

func failovers(s *client.Stats) (n int) {
	for reason, moves := range s.MoveReasons {
		if reason != client.MoveFirstLogon && reason != client.MovePreferred {
			n += moves
		}
	}
	return n
}

func collectFailures(s *client.Stats, emit func(float64, ...string)) {
	for server, n := range s.Failures {
		emit(float64(n), server)
	}
}

func collectLastTime(s *client.Stats, emit func(float64, ...string)) {
	for _, sub := range s.Subscriptions {
		if !sub.LastTime.IsZero() {
			emit(float64(sub.LastTime.UnixMicro())/float64(time.Second/time.Microsecond), sub.ID, sub.Topic)
		}
	}
}
