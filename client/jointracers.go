package client

import (
	"context"
	"slices"

	"github.com/holdfast-mq/holdfast/pubstore"
)

// JoinTracers returns a Tracer that calls each of the given ones, for Config.Tracer. Tracers that
// are nil are left out; if none is left, the result is nil. The tracers begin in their order: the
// context that one returns for Handle is passed to the next. They end in the reverse order.
func JoinTracers(tracers ...Tracer) Tracer {
	joined := slices.DeleteFunc(slices.Clone(tracers), func(t Tracer) bool { return t == nil })
	switch len(joined) {
	case 0:
		return nil
	case 1:
		return joined[0]
	}
	return joinedTracers(joined)
}

type joinedTracers []Tracer

func (j joinedTracers) StartPublish(ctx context.Context, m *pubstore.Message) (end func(error)) {
	for _, t := range j {
		end = joinEnds(end, t.StartPublish(ctx, m))
	}
	return end
}

func (j joinedTracers) Sent(server string, publisher, first, last uint64, resent int) {
	for _, t := range j {
		t.Sent(server, publisher, first, last, resent)
	}
}

func (j joinedTracers) Acked(publisher, through uint64, safe bool) {
	for _, t := range j {
		t.Acked(publisher, through, safe)
	}
}

func (j joinedTracers) Rejected(err *RejectedError) {
	for _, t := range j {
		t.Rejected(err)
	}
}

func (j joinedTracers) StartHandle(ctx context.Context, m *Message) (handle context.Context, end func(error)) {
	for _, t := range j {
		var e func(error)
		ctx, e = t.StartHandle(ctx, m)
		end = joinEnds(end, e)
	}
	return ctx, end
}

// joinEnds returns a function that calls two, the later one first. Either may be nil. It takes
// memory only if neither is.
func joinEnds(earlier, later func(error)) func(error) {
	switch {
	case earlier == nil:
		return later
	case later == nil:
		return earlier
	}
	return func(err error) {
		later(err)
		earlier(err)
	}
}
