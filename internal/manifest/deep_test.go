package manifest

import ("testing";"strings";"time";"fmt")

func TestDeepCost(t *testing.T) {
	for _, depth := range []int{10, 100, 200, 500, 1000,9000} {
		s := strings.Repeat(`{"b":1,"a":`, depth) + `"` + strings.Repeat("x", 7<<20) + `"` + strings.Repeat("}", depth)
		t0 := time.Now()
		_, err := Canonical([]byte(s))
		fmt.Println(depth, time.Since(t0), err)
	}
}
