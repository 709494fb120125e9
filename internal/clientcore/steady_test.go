package clientcore

import "testing"

func TestHold(t *testing.T) {
	type note struct {
		on bool
		at int64
	}
	for _, tt := range []struct {
		name  string
		notes []note
		d     int64
		now   int64
		want  bool
	}{
		{"never so", nil, 0, 100, false},
		{"at once", []note{{true, 5}}, 0, 5, true},
		{"not long enough", []note{{true, 5}}, 10, 14, false},
		{"long enough", []note{{true, 5}}, 10, 15, true},
		{"said again: from the first time", []note{{true, 5}, {true, 12}}, 10, 15, true},
		{"a break", []note{{true, 5}, {false, 8}}, 0, 100, false},
		{"a break: from its end", []note{{true, 5}, {false, 8}, {true, 9}}, 10, 18, false},
		{"a break long ago", []note{{true, 5}, {false, 8}, {true, 9}}, 10, 19, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var h Steady
			for _, n := range tt.notes {
				h.Set(n.on, n.at)
			}
			if got := h.For(tt.d, tt.now); got != tt.want {
				t.Errorf("For(%d, %d) = %v", tt.d, tt.now, got)
			}
		})
	}
}
