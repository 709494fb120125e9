package otel

import (
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/holdfast-mq/holdfast/client"
)

// prefix begins the name of every instrument.
const prefix = "holdfast.client."

// The attributes of the metrics.
const (
	clientKey       = attribute.Key("client") // the name of the client; of every metric
	serverKey       = attribute.Key("server") // the URI of a server, without its password
	stateKey        = attribute.Key("state")
	reasonKey       = attribute.Key("reason") // a client.Move.Reason
	subscriptionKey = attribute.Key("subscription")
	topicKey        = attribute.Key("topic")
)

// The units of the metrics.
const (
	ofMessages = "{message}"
	ofEvents   = "{event}"
	inBytes    = "By"
	inSeconds  = "s"
	yesOrNo    = "1"
)

// An instrument has one or several values for each client.
type instrument struct {
	name, unit, help string
	counter          bool // false: a gauge
	collect          func(s *client.Stats, emit func(value float64, attributes ...attribute.KeyValue))
}

func counter(name, unit, help string, value func(*client.Stats) int) instrument {
	i := gauge(name, unit, help, func(s *client.Stats) float64 { return float64(value(s)) })
	i.counter = true
	return i
}

func gauge(name, unit, help string, value func(*client.Stats) float64) instrument {
	return instrument{name: name, unit: unit, help: help, collect: func(s *client.Stats, emit func(float64, ...attribute.KeyValue)) {
		emit(value(s))
	}}
}

func subCounter(name, unit, help string, value func(*client.SubscriptionStats) int) instrument {
	i := subGauge(name, unit, help, func(s *client.SubscriptionStats) float64 { return float64(value(s)) })
	i.counter = true
	return i
}

func subGauge(name, unit, help string, value func(*client.SubscriptionStats) float64) instrument {
	return instrument{name: name, unit: unit, help: help, collect: func(s *client.Stats, emit func(float64, ...attribute.KeyValue)) {
		for i := range s.Subscriptions {
			sub := &s.Subscriptions[i]
			emit(value(sub), subscriptionKey.String(sub.ID), topicKey.String(sub.Topic))
		}
	}}
}

// flag is the value of a condition.
func flag(on bool) float64 {
	if on {
		return 1
	}
	return 0
}

// instruments are all metrics except the histogram.
var instruments = append(append(publishing, connecting...), subscribing...)

var publishing = []instrument{
	counter("published_messages", ofMessages, "Messages that were stored in the publish store since it was opened.",
		func(s *client.Stats) int { return int(s.Publish.Outstanding.Appended) }),
	counter("safe_messages", ofMessages, "Messages that left the publish store because both servers have them on disk.",
		func(s *client.Stats) int { return int(s.Publish.Outstanding.Safe) }),
	counter("rejected_messages", ofMessages, "Messages that a server rejected.",
		func(s *client.Stats) int { return s.Publish.Rejected }),
	counter("sent_messages", ofMessages, "Messages written to a connection, each time that they were.",
		func(s *client.Stats) int { return s.Publish.Sent }),
	counter("resent_messages", ofMessages, "Messages written to a connection that may have been sent before.",
		func(s *client.Stats) int { return s.Publish.Resent }),
	gauge("outstanding_messages", ofMessages, "Messages in the publish store: not yet safe.",
		func(s *client.Stats) float64 { return float64(s.Publish.Outstanding.Messages) }),
	gauge("outstanding_size", inBytes, "Size of the messages in the publish store.",
		func(s *client.Stats) float64 { return float64(s.Publish.Outstanding.Bytes) }),
	gauge("outstanding_single_messages", ofMessages, "Messages in the publish store that one server has acknowledged.",
		func(s *client.Stats) float64 { return float64(s.Publish.Outstanding.Single) }),
	gauge("oldest_outstanding", inSeconds, "Age of the oldest message in the publish store; 0 if it is empty.",
		func(s *client.Stats) float64 { return s.Publish.Outstanding.Oldest.Seconds() }),
	gauge("in_flight_messages", ofMessages, "Messages sent on the present connection that no server has acknowledged.",
		func(s *client.Stats) float64 { return float64(s.Publish.InFlight) }),
	gauge("downgraded", yesOrNo, "1 while acks come from one server only.",
		func(s *client.Stats) float64 { return flag(s.Publish.Downgraded) }),
	counter("publish_gaps", ofEvents, "Logons given up because the server lacked acknowledged messages.",
		func(s *client.Stats) int { return s.Publish.GapRefusals }),
	counter("store_rollbacks", ofEvents, "Times that the publish store was found rolled back.",
		func(s *client.Stats) int { return s.Publish.Rollbacks }),
}

var connecting = []instrument{
	{name: "connected", unit: yesOrNo, help: "1 for the server that the client is logged on to, 0 for the others that it knows.",
		collect: collectConnected},
	{name: "state", unit: yesOrNo, help: "1 for what the client does at the moment, 0 for the other states.",
		collect: collectState},
	{name: "offline", unit: inSeconds, help: "Time without a server since Dial.",
		counter: true, collect: collectOffline},
	{name: "moves", unit: ofEvents, help: "Logons on another server than before, by the reason why the client left that one.",
		counter: true, collect: collectMoves},
	counter("failovers", ofEvents, "Moves that were neither the first logon nor a return to a preferred server.", failovers),
	counter("connect_attempts", ofEvents, "Attempts to connect.", func(s *client.Stats) int { return s.Attempts }),
	counter("logons", ofEvents, "Attempts to connect that a server accepted.", func(s *client.Stats) int { return s.Logons }),
	{name: "connection_failures", unit: ofEvents, help: "Failed attempts to connect and lost connections.",
		counter: true, collect: collectFailures},
	counter("async_refusals", ofEvents, "Logons given up because subscriptions would have moved along an asynchronous path.",
		func(s *client.Stats) int { return s.AsyncRefusals }),
}

var subscribing = []instrument{
	subCounter("delivered_messages", ofMessages, "Messages given to the application.",
		func(s *client.SubscriptionStats) int { return s.Delivered }),
	subGauge("queued_messages", ofMessages, "Messages in the queue of the subscription.",
		func(s *client.SubscriptionStats) float64 { return float64(s.Queued) }),
	subGauge("undiscarded_messages", ofMessages, "Messages in the queue or with the application that are not discarded.",
		func(s *client.SubscriptionStats) float64 { return float64(s.Outstanding) }),
	subCounter("duplicate_messages", ofMessages, "Messages received again and dropped.",
		func(s *client.SubscriptionStats) int { return s.Duplicates }),
	subCounter("dropped_messages", ofMessages, "Messages dropped because the application was slow (SlowDropOldest).",
		func(s *client.SubscriptionStats) int { return s.Dropped }),
	subCounter("subscription_pauses", ofEvents, "Times that the queue was full.",
		func(s *client.SubscriptionStats) int { return s.Pauses }),
	subCounter("subscription_gaps", ofEvents, "Ranges of messages that no server had any more.",
		func(s *client.SubscriptionStats) int { return s.Gaps }),
	subGauge("subscription_paused", yesOrNo, "1 while the subscription is paused: more messages wait at the server.",
		func(s *client.SubscriptionStats) float64 { return flag(s.Paused) }),
	subGauge("subscription_held_back", yesOrNo, "1 while the server holds messages back until they are safe.",
		func(s *client.SubscriptionStats) float64 { return flag(s.HeldBack) }),
	subCounter("handler_errors", ofEvents, "Times that the function of Handle returned an error.",
		func(s *client.SubscriptionStats) int { return s.HandlerErrors }),
	subCounter("handler_retries", ofEvents, "Times that Handle called its function again for a message.",
		func(s *client.SubscriptionStats) int { return s.Retries }),
	{name: "last_message_timestamp", unit: inSeconds, help: "Server's time of the latest message given to the application; only with WithTime.",
		collect: collectLastTime},
}

func collectConnected(s *client.Stats, emit func(float64, ...attribute.KeyValue)) {
	on := s.State == client.StateLive || s.State == client.StateRecovering
	for _, server := range s.Servers {
		emit(flag(on && server.Server == s.Server.Server), serverKey.String(server.Server))
	}
}

func collectState(s *client.Stats, emit func(float64, ...attribute.KeyValue)) {
	for state := client.StateConnecting; state <= client.StateClosed; state++ {
		emit(flag(s.State == state), stateKey.String(state.String()))
	}
}

// reasons are the values of client.Move.Reason. All of them are shown from the beginning, so that
// the first move is an increase.
var reasons = []string{
	client.MoveFirstLogon, client.MovePreferred, client.MoveServerStopping,
	client.MovePublishGap, client.MoveNameInUse, client.MoveConnectionLost,
}

func collectMoves(s *client.Stats, emit func(float64, ...attribute.KeyValue)) {
	for _, reason := range reasons {
		emit(float64(s.MoveReasons[reason]), reasonKey.String(reason))
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

func collectOffline(s *client.Stats, emit func(float64, ...attribute.KeyValue)) {
	emit(s.Offline.Seconds())
}

func collectFailures(s *client.Stats, emit func(float64, ...attribute.KeyValue)) {
	for server, n := range s.Failures {
		emit(float64(n), serverKey.String(server))
	}
}

func collectLastTime(s *client.Stats, emit func(float64, ...attribute.KeyValue)) {
	for _, sub := range s.Subscriptions {
		if !sub.LastTime.IsZero() {
			emit(float64(sub.LastTime.UnixMicro())/float64(time.Second/time.Microsecond), subscriptionKey.String(sub.ID), topicKey.String(sub.Topic))
		}
	}
}
