// SPDX-License-Identifier: GPL-2.0-only
/*
 * The headers of the kernel that this module is built for, as
 * /sys/kernel/kheaders.tar.xz, for kernels built without CONFIG_IKHEADERS.
 *
 * Symbols, file and mode are those of a kernel that has it, so that whatever
 * reads the one reads the other.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/init.h>
#include <linux/kernfs.h>
#include <linux/kobject.h>
#include <linux/module.h>
#include <linux/string.h>
#include <linux/sysfs.h>
#include <linux/utsname.h>

#include <generated/utsrelease.h>

/* Kbuild tells the assembler where the archive is. */
__asm__(".pushsection .rodata, \"a\"\n"
	".global kernel_headers_data\n"
	"kernel_headers_data:\n"
	".incbin \"kheaders_data.tar.xz\"\n"
	".global kernel_headers_data_end\n"
	"kernel_headers_data_end:\n"
	".popsection\n");

/* Arrays without bounds, or copying more than a byte trips FORTIFY_SOURCE. */
extern char kernel_headers_data[];
extern char kernel_headers_data_end[];

#ifdef __BIN_ATTR_SIMPLE_RO
static struct bin_attribute archive __ro_after_init =
	__BIN_ATTR_SIMPLE_RO(kheaders.tar.xz, 0444);
#else
static ssize_t archive_read(struct file *file, struct kobject *kobj,
			    struct bin_attribute *attr, char *buf,
			    loff_t off, size_t len)
{
	return memory_read_from_buffer(buf, len, &off, attr->private,
				       attr->size);
}

static struct bin_attribute archive __ro_after_init =
	__BIN_ATTR(kheaders.tar.xz, 0444, archive_read, NULL, 0);
#endif

static int __init kheaders_init(void)
{
	const char *name = archive.attr.name;
	struct kernfs_node *taken;

	/* With symbol versions, a kernel also loads modules of another. */
	if (strcmp(init_utsname()->release, UTS_RELEASE)) {
		pr_err("holds the headers of %s, not of %s\n",
		       UTS_RELEASE, init_utsname()->release);
		return -ENOEXEC;
	}

	/* sysfs itself would say so with a stack dump. */
	taken = kernfs_find_and_get(kernel_kobj->sd, name);
	if (taken) {
		kernfs_put(taken);
		pr_err("/sys/kernel/%s is there already\n", name);
		return -EEXIST;
	}

	archive.private = kernel_headers_data;
	archive.size = kernel_headers_data_end - kernel_headers_data;
	return sysfs_create_bin_file(kernel_kobj, &archive);
}

static void __exit kheaders_exit(void)
{
	sysfs_remove_bin_file(kernel_kobj, &archive);
}

module_init(kheaders_init);
module_exit(kheaders_exit);

MODULE_LICENSE("GPL");
MODULE_AUTHOR("The kheadersfs authors");
MODULE_DESCRIPTION("The headers of this kernel, in /sys/kernel/kheaders.tar.xz");
