;; Counts the set bits of an array, as countBits does without it.
;;
;; `npm run kernel` writes it into count-kernel-code.ts. A test compares the two files.

(module
  (import "kernel" "memory" (memory 1))

  (func (export "count")
    (param $at i32)           ;; address of the array
    (param $end i32)          ;; address after it, a multiple of 8 bytes and at least 8 after the first
    (result i32)

    (local $count i64)

    (loop $word
      (local.set $count (i64.add (local.get $count) (i64.popcnt (i64.load (local.get $at)))))
      (local.set $at (i32.add (local.get $at) (i32.const 8)))
      (br_if $word (i32.lt_u (local.get $at) (local.get $end))))
    (i32.wrap_i64 (local.get $count))))
