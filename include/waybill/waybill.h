/* libwaybill: everything public, in one include. */
#ifndef WAYBILL_WAYBILL_H
#define WAYBILL_WAYBILL_H

#include "waybill/client.h"
#include "waybill/digest.h"
#include "waybill/err.h"
#include "waybill/header.h"
#include "waybill/length.h"
#include "waybill/limits.h"
#include "waybill/parcel.h"
#include "waybill/version.h"

#endif
