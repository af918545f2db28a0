package api

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	agentv1 "github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/v1"
)

// fill sets every field of m to a value of its own. Of a oneof the member
// choice is set, counted round.
func fill(m protoreflect.Message, n *uint64, choice int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if o := f.ContainingOneof(); o != nil && o.Fields().Get(choice%o.Fields().Len()) != f {
			continue
		}
		*n++
		if f.IsList() {
			list := m.Mutable(f).List()
			for range 2 {
				*n++
				v := list.NewElement()
				if f.Kind() == protoreflect.MessageKind {
					fill(v.Message(), n, choice)
				} else {
					v = scalar(f, *n)
				}
				list.Append(v)
			}
			continue
		}
		if f.Kind() == protoreflect.MessageKind {
			fill(m.Mutable(f).Message(), n, choice)
			continue
		}
		m.Set(f, scalar(f, *n))
	}
}

func scalar(f protoreflect.FieldDescriptor, n uint64) protoreflect.Value {
	switch f.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(fmt.Sprint("text ", n))
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(-int32(n))
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(math.MaxUint32 - uint32(n))
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(math.MaxUint64 - n)
	}
	panic(fmt.Sprintf("no value for a field of kind %v", f.Kind()))
}

// flatten lists the values in v by the names of their fields, lower case.
func flatten(v reflect.Value, path string, out map[string]string) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			flatten(v.Elem(), path, out)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				name := "." + strings.ToLower(f.Name)
				if name == ".upper" || v.Type().NumField() == 1 && strings.HasPrefix(v.Type().Name(), "RootFS_") {
					name = "" // the generated form of a oneof
					if path2 := strings.ToLower(f.Name); path2 != "upper" {
						name = "." + path2
					}
				}
				flatten(v.Field(i), path+name, out)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			flatten(v.Index(i), fmt.Sprintf("%s[%d]", path, i), out)
		}
	default:
		if !v.IsZero() {
			out[path] = fmt.Sprint(v.Interface())
		}
	}
}

// TestRequests holds every request to the generated type: all fields that
// there are arrive.
func TestRequests(t *testing.T) {
	for _, tt := range []struct {
		generated proto.Message
		own       func() interface{ Unmarshal([]byte) error }
	}{
		{&agentv1.SetupRequest{}, func() interface{ Unmarshal([]byte) error } { return &SetupRequest{} }},
		{&agentv1.StartRequest{}, func() interface{ Unmarshal([]byte) error } { return &StartRequest{} }},
		{&agentv1.WaitRequest{}, func() interface{ Unmarshal([]byte) error } { return &WaitRequest{} }},
		{&agentv1.SignalRequest{}, func() interface{ Unmarshal([]byte) error } { return &SignalRequest{} }},
		{&agentv1.ResizeRequest{}, func() interface{ Unmarshal([]byte) error } { return &ResizeRequest{} }},
		{&agentv1.PowerOffRequest{}, func() interface{ Unmarshal([]byte) error } { return &PowerOffRequest{} }},
		{&agentv1.HealthRequest{}, func() interface{ Unmarshal([]byte) error } { return &HealthRequest{} }},
	} {
		for choice := range 3 {
			m := proto.Clone(tt.generated)
			var n uint64
			fill(m.ProtoReflect(), &n, choice)
			b, err := proto.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			own := tt.own()
			if err := own.Unmarshal(b); err != nil {
				t.Fatalf("%T: %v", own, err)
			}
			want, got := map[string]string{}, map[string]string{}
			flatten(reflect.ValueOf(m), "", want)
			flatten(reflect.ValueOf(own), "", got)
			delete(got, ".root.writable") // a message without fields, over there
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%T is\n%v, want\n%v", own, got, want)
			}
			if r, ok := own.(*SetupRequest); ok && (r.Root.Tmpfs != nil) != (choice == 0) || ok && (r.Root.Disk != nil) != (choice == 1) || ok && r.Root.Writable != (choice == 2) {
				t.Errorf("of the upper's choice %d came %+v", choice, r.Root)
			}
			for i := range b { // cut short: an error or less, but no panic
				_ = tt.own().Unmarshal(b[:i])
			}
		}
	}
}

// TestResponses has the generated types read what is written here, and write
// the same.
func TestResponses(t *testing.T) {
	for _, tt := range []struct {
		generated proto.Message
		own       interface{ Marshal() []byte }
	}{
		{&agentv1.SetupResponse{}, &SetupResponse{}},
		{&agentv1.HealthResponse{}, &HealthResponse{}},
		{&agentv1.StartResponse{}, &StartResponse{}},
		{&agentv1.WaitResponse{}, &WaitResponse{}},
		{&agentv1.SignalResponse{}, &Empty{}},
		{&agentv1.ResizeResponse{}, &Empty{}},
		{&agentv1.PowerOffResponse{}, &Empty{}},
	} {
		var n uint64
		fill(tt.generated.ProtoReflect(), &n, 0)
		want, err := proto.Marshal(tt.generated)
		if err != nil {
			t.Fatal(err)
		}
		own := reflect.ValueOf(tt.own).Elem()
		from := reflect.ValueOf(tt.generated).Elem()
		for i := range own.NumField() {
			f := own.Field(i)
			g := from.FieldByNameFunc(func(name string) bool { return strings.EqualFold(name, own.Type().Field(i).Name) })
			f.Set(g)
		}
		if got := tt.own.Marshal(); !bytes.Equal(got, want) {
			t.Errorf("%T is written as % x, want % x", tt.own, got, want)
		}
	}
}
