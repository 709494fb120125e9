package route

import (
	"errors"

	"github.com/holdfast-mq/holdfast/internal/wire"
)

// ErrInvalidOptions reports an unknown option or value. Its text is the reason in the failure ack.
var ErrInvalidOptions = errors.New(wire.ReasonInvalidOptions)

// An UnsupportedError reports an option of the protocol that this server does not implement.
type UnsupportedError struct{ Feature string }

func (e *UnsupportedError) Error() string { return e.Feature + " is not offered" }

// NotFound says where a bookmark subscription starts if the ledger has none of its bookmarks.
type NotFound uint8

// The values of bookmark_not_found. The zero value means that the option was not given.
const (
	NotFoundDefault NotFound = iota
	NotFoundNow
	NotFoundEpoch
	NotFoundFail
)

var notFoundValues = map[string]NotFound{"now": NotFoundNow, "epoch": NotFoundEpoch, "fail": NotFoundFail}

// Options are the options of a subscribe that this server implements.
type Options struct {
	Replace      bool
	Bookmark     bool // bookmarks also on live deliveries
	FullyDurable bool
	Timestamp    bool
	Vector       bool
	Literal      bool // the topic is not a pattern
	NotFound     NotFound
}

// unsupportedOptions are the options of the protocol that this server does not implement.
var unsupportedOptions = map[string]bool{
	"rate": true, "rate_max_gap": true, "pause": true, "resume": true, "conflation": true, "conflation_key": true,
	"oof": true, "no_empties": true, "send_empties": true, "send_keys": true, "select": true, "top_n": true,
	"skip_n": true, "projection": true, "grouping": true, "max_backlog": true,
}

// ParseOptions parses the options of a subscribe. The error is ErrInvalidOptions or a
// *UnsupportedError.
func ParseOptions(text []byte) (Options, error) {
	var o Options
	for name, value := range wire.Options(text) {
		if err := o.set(string(name), string(value)); err != nil {
			return Options{}, err
		}
	}
	return o, nil
}

func (o *Options) set(name, value string) error {
	known := true
	switch name {
	case "none", "live", "no_sowkey":
	case "replace":
		o.Replace = true
	case "bookmark":
		o.Bookmark = true
	case "fully_durable":
		o.FullyDurable = true
	case "timestamp":
		o.Timestamp = true
	case "vector":
		o.Vector = true
	case "non_regex_topic":
		o.Literal = true
	case "bookmark_not_found":
		o.NotFound, known = notFoundValues[value]
	default:
		known = name == "conflation" && value == "none"
		if !known && unsupportedOptions[name] {
			return &UnsupportedError{"option " + name}
		}
	}
	if !known {
		return ErrInvalidOptions
	}
	return nil
}
