/*
 * Memory objects (VM-10): an array of pages with an identity, apart from any mapping. A file's
 * pages (its page cache), shared anonymous memory and device memory are objects; private
 * anonymous memory is not (it lives in the address space's page tree, mm/pagetree.h).
 */
#pragma once

#include <core/wait.h>
#include <hal/hal.h>
#include <mm/frame.h>
#include <mm/pagetree.h>

struct vm_object;

struct vm_object_ops {
	const char *name;
	/* Fills a new page (already zeroed) with the object's contents at page `index`; may sleep.
	 * Null: pages start as zeroes (tmpfs, shared anonymous). */
	enum kerr (*fill)(struct vm_object *object, uint64_t index, void *page);
	/* Asks leave to add a page (tmpfs limits); null: always. KERR_NOSPC ends in SIGBUS. */
	enum kerr (*charge)(struct vm_object *object, uint64_t pages);
	void (*uncharge)(struct vm_object *object, uint64_t pages);
	/* A device object: where page `index` is, and what kind of memory (MAP_NO_CACHE and the
	 * like; 0: ordinary). Its pages are never allocated, freed or copied; null: they are. KERR_NXIO:
	 * there is none, SIGBUS. Any context. */
	enum kerr (*place)(struct vm_object *object, uint64_t index, paddr_t *pa,
			   map_flags_t *type);
	void (*destroy)(struct vm_object *object); /* last reference gone, pages freed */
};

struct vm_object {
	const struct vm_object_ops *ops; /* (const) */
	_Atomic uint32_t references;
	_Atomic uint64_t size; /* bytes; pages behind it are SIGBUS */
	struct pagetree pages; /* index -> frame; see pagetree.h for its lock */
	struct mutex grow; /* one truncation at a time */
	void *owner; /* the inode, for ops */
	uint64_t promised; /* (const) pages that were promised as a whole */
	struct spinlock maps_lock;
	struct list maps; /* (maps_lock) regions that map it; those that the latest
	                                    truncation has to visit stand first */
	uint32_t maps_epoch; /* (maps_lock) counts truncations */
};

void vm_object_init(struct vm_object *o, const struct vm_object_ops *ops, uint64_t size,
		    void *owner);
/* Shared anonymous memory of `size` bytes, one reference. */
enum kerr vm_object_create_anonymous(uint64_t size, struct vm_object **out);
/* A range of physical memory that programs may map, with its type (MAP_NO_CACHE for registers,
 * MAP_WRITE_COMBINE for a framebuffer, 0); page aligned. Whoever makes it sees to it that nothing else
 * uses the range. */
enum kerr vm_object_create_device(paddr_t start, uint64_t size, map_flags_t type,
				  struct vm_object **out);
void vm_object_get(struct vm_object *o);
/* The last one frees the pages and calls ops->destroy. May sleep. */
void vm_object_put(struct vm_object *o);
/* The frame of page `index`, made (and filled) if it is missing and `create`; a reference is the
 * caller's (frame_put). KERR_NOENT: a hole and !create. May sleep. */
enum kerr vm_object_page(struct vm_object *o, uint64_t index, bool create, struct frame **out);
/* Copies between the object and a kernel buffer (user = false) or user memory; holes read as
 * zeroes without being filled; writes make pages. Does not look at size. *done gets the bytes
 * moved, also on errors. May sleep. */
enum kerr vm_object_read(struct vm_object *o, uint64_t offset, vaddr_t dst, size_t size, bool user,
			 size_t *done);
enum kerr vm_object_write(struct vm_object *o, uint64_t offset, vaddr_t src, size_t size, bool user,
			  size_t *done);
/* Frees the pages behind `size`, zeroes the tail of the last one, unmaps them from address
 * spaces that map the object, and sets o->size. May sleep. */
void vm_object_truncate(struct vm_object *o, uint64_t size);
/* Makes [start, end) a hole: pages that lie in it are freed and leave the address spaces that map
 * them, parts of pages become zero. Only for objects without `fill`. May sleep. */
void vm_object_punch(struct vm_object *o, uint64_t start, uint64_t end);
uint64_t vm_object_resident(struct vm_object *o); /* pages */
/* The first byte at or after `from` that lies in a page (data) or in a hole, for SEEK_DATA and
 * SEEK_HOLE; false: none before o->size. */
bool vm_object_seek(struct vm_object *o, uint64_t from, bool data, uint64_t *at);
