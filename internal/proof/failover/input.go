package failover

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
)

// An event is one line of the input, published by its network.
type event struct {
	network string
	body    []byte
}

// readInput reads one JSON object a line, each with the text fields "id" (unique) and
// "net", from file, or from preset if file is empty.
func readInput(file string, preset []byte) ([]event, error) {
	data := preset
	if file != "" {
		var err error
		if data, err = os.ReadFile(file); err != nil {
			return nil, err
		}
	} else {
		file = "earthquakes.ndjson"
	}
	var events []event
	scan := bufio.NewScanner(bytes.NewReader(data))
	scan.Buffer(nil, 1<<20)
	for n := 1; scan.Scan(); n++ {
		line := bytes.TrimSpace(scan.Bytes())
		if len(line) == 0 {
			continue
		}
		var fields struct{ ID, Net string }
		if err := json.Unmarshal(line, &fields); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, n, err)
		}
		if fields.ID == "" || fields.Net == "" {
			return nil, fmt.Errorf(`%s:%d: "id" and "net" must be set`, file, n)
		}
		events = append(events, event{fields.Net, bytes.Clone(line)})
	}
	if err := scan.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if len(events) == 0 {
		return nil, fmt.Errorf("%s: no events", file)
	}
	return events, nil
}

// networks returns the networks of the events, sorted: the publishers.
func networks(events []event) []string {
	set := make(map[string]struct{})
	for _, e := range events {
		set[e.network] = struct{}{}
	}
	return slices.Sorted(maps.Keys(set))
}

// bodyOf returns the event's JSON with the round it is published in.
func bodyOf(e event, round int) []byte {
	return append(fmt.Appendf(nil, `{"round":%d,`, round), e.body[1:]...)
}

// keyOf returns a key for a message, made from its body alone, so that the verdict does
// not depend on the identities under test.
func keyOf(body []byte) (network, key string, err error) {
	var fields struct {
		Round   int
		ID, Net string
	}
	if err := json.Unmarshal(body, &fields); err != nil {
		return "", "", err
	}
	return fields.Net, fmt.Sprintf("%s round %d", fields.ID, fields.Round), nil
}
